internal import ArgumentParser
internal import WaybillLoad

struct LoadPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print the plan that would be run, as YAML with all members.",
        discussion: "waybill load plan --devices 500 --rate 200 > plan.yaml")

    @OptionGroup var options: LoadPlanOptions

    func run() async throws {
        try await reporting {
            Console.write(try options.effectivePlan().yaml().utf8)
        }
    }
}
