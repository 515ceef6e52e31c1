import Testing
import WaybillModel

@testable import WaybillLoad

@Suite struct RecipeBookTests {
    @Test func bundlesGoRoundTheDevices() {
        var plan = LoadPlan()
        plan.devices = 3
        let book = RecipeBook(plan: plan, runID: 1)
        let recipes = (0..<7).map { book.recipe($0) }
        #expect(recipes.map(\.device) == [0, 1, 2, 0, 1, 2, 0])
        #expect(recipes.map(\.sequence) == [1, 1, 1, 2, 2, 2, 3])
        #expect(recipes.allSatisfy { $0.fault == nil && $0.resend == nil && $0.cut == nil })
    }

    @Test func sharesAreWhatThePlanSays() {
        var plan = LoadPlan()
        plan.mix = [.init(share: 3), .init(share: 1)]
        plan.faults.resent = 0.2
        plan.faults.badBundles = 0.1
        plan.faults.cut = 0.3
        let book = RecipeBook(plan: plan, runID: 1)
        let recipes = (0..<20_000).map { book.recipe($0) }
        func share(_ isCounted: (BundleRecipe) -> Bool) -> Double {
            Double(recipes.count(where: isCounted)) / 20_000
        }
        #expect(abs(share { $0.shape == 0 } - 0.75) < 0.02)
        #expect(abs(share { $0.fault != nil } - 0.1) < 0.01)
        #expect(abs(share { $0.cut != nil } - 0.3) < 0.02)
        // Those that are refused are never acknowledged, and so not sent again.
        #expect(abs(share { $0.resend != nil } - 0.2 * (1 - 0.1 / 3)) < 0.02)
        #expect(!recipes.contains { $0.fault?.isRefused == true && $0.resend != nil })
        #expect(Set(recipes.compactMap(\.fault)).count == BundleFault.allCases.count)
    }

    @Test func oneShareDoesNotMoveAnothersNumbers() {
        var plan = LoadPlan()
        plan.faults.badBundles = 0.2
        let before = RecipeBook(plan: plan, runID: 1)
        plan.faults.resent = 0.5
        plan.faults.cut = 0.5
        let after = RecipeBook(plan: plan, runID: 1)
        for number in 0..<500 {
            #expect(before.recipe(number).fault == after.recipe(number).fault)
        }
    }

    @Test func repeatsAndConflictsReferToWhatIsAcceptedBeforeThem() throws {
        let plan = BundleSupport.plan(seed: 11)
        let book = RecipeBook(plan: plan, runID: 1)
        var referred = (own: 0, previous: 0)
        for number in 0..<600 {
            let recipe = book.recipe(number)
            for index in 0..<book.shape(recipe).transactions {
                let target: LoadID.Place
                switch book.role(recipe, index) {
                case .repeated(let place), .conflicting(let place): target = place
                default: continue
                }
                let other = book.recipe(target.number)
                #expect(book.role(other, target.index) == .original)
                if target.number == number {
                    referred.own += 1
                    #expect(target.index < index)
                } else {
                    referred.previous += 1
                    #expect(target.number == number - plan.devices)
                    #expect(other.fault == nil)
                    #expect(target.index < book.shape(other).transactions)
                }
            }
        }
        #expect(referred.own > 100 && referred.previous > 100)
    }
}
