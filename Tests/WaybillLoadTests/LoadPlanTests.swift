import Testing
import WaybillLoad

@Suite struct LoadPlanTests {
    @Test func whatIsNotThereKeepsItsDefault() throws {
        let plan = try LoadPlan(yaml: "bundles: 5\nmix:\n- transactions: 3\n")
        #expect(plan.bundles == 5)
        #expect(plan.devices == LoadPlan().devices)
        #expect(plan.mix == [LoadPlan.BundleShape(transactions: 3)])
    }

    @Test func aSavedPlanIsTheSameWhenLoaded() throws {
        var plan = LoadPlan()
        plan.durationSeconds = 2.5
        plan.arrivals = .init(model: .poisson, rate: 12.5)
        plan.mix = [.init(share: 2, transactions: 1), .init(transactions: 10, parts: 3)]
        plan.faults.badLines = 0.25
        plan.seed = .max
        plan.objectives = ["settle_p99<2s", "lost==0"]
        plan.chaos = [
            .init(atSeconds: 1, everySeconds: 20, action: .killServer),
            .init(atSeconds: 3, action: .scale, count: 4),
        ]
        #expect(try LoadPlan(yaml: plan.yaml()) == plan)
    }

    @Test func readsJSONToo() throws {
        let plan = try LoadPlan(yaml: #"{"bundles": 1, "arrivals": {"model": "closed"}}"#)
        #expect(plan.bundles == 1)
    }

    @Test(arguments: [
        ("bundels: 5", "bundels"),
        ("bundles: 5\nmix: [{transaction: 1}]", "transaction"),
        ("bundles: five", "bundles"),
        ("bundles: 5\narrivals: {model: burst}", "burst"),
        ("bundles: 5\nchaos: [{at_seconds: 1}]", "action"),
        ("bundles: [", "line"),
    ])
    func aPlanThatIsNotUnderstoodSaysWhere(text: String, word: String) {
        let error = #expect(throws: LoadPlanError.self) { try LoadPlan(yaml: text) }
        #expect(error?.description.contains(word) == true, "\(String(describing: error))")
    }

    @Test func allProblemsAreToldAtOnce() {
        let text = """
            devices: 0
            tenant: "No Slug"
            bundles: 5
            duration_seconds: 5
            arrivals: {model: constant}
            mix: [{transactions: 2, parts: 3}]
            faults: {repeated: 0.7, bad_lines: 0.7}
            chaos: [{at_seconds: 1, action: scale}]
            """
        let error = #expect(throws: LoadPlanError.self) { try LoadPlan(yaml: text) }
        #expect(error?.problems.count == 7, "\(String(describing: error))")
    }

    @Test(arguments: [
        ("bundles: 1\nmix: [{transactions: 100000}]", true),
        ("bundles: 1\nmix: [{transactions: 100001}]", false),
        ("bundles: 1\ndevices: 10000", true),
        ("bundles: 1\ndevices: 10001", false),
        ("bundles: 1\narrivals: {model: closed, rate: 1}", false),
        ("seals_in_advance: true\nduration_seconds: 1", false),
        ("seals_in_advance: true\nduration_seconds: 1\narrivals: {model: constant, rate: 5}", true),
        ("holds_listeners: true\nduration_seconds: 1", false),
        ("", false),
    ])
    func limitsHoldAtTheirEdges(text: String, isGood: Bool) {
        // Which problem it is, the other tests look at.
        let plan = try? LoadPlan(yaml: text)
        #expect((plan != nil) == isGood)
    }
}
