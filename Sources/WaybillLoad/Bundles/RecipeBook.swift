package import WaybillModel

/// What each bundle of a run is to be. Every answer follows from the plan, the run's id and the number,
/// at constant cost, in any order.
package struct RecipeBook: RecipeSource {
    package let plan: LoadPlan
    package let runID: UInt32
    package let ids: LoadID
    let payloads = PayloadMaker()
    /// Sums of the shapes' shares; the last is 1.
    private let shapeBounds: [Double]
    /// Sums of the shares of bad, repeated and conflicting lines.
    private let roleBounds: (bad: Double, repeated: Double, conflicting: Double)

    package init(plan: LoadPlan, runID: UInt32) {
        self.plan = plan
        self.runID = runID
        ids = LoadID(runID: runID, order: plan.identifiers)
        let total = plan.mix.reduce(0) { $0 + $1.share }
        var sum = 0.0
        shapeBounds = plan.mix.map { shape in
            sum += total > 0 ? shape.share / total : 1
            return sum
        }
        let faults = plan.faults
        roleBounds = (
            faults.badLines, faults.badLines + faults.repeated,
            faults.badLines + faults.repeated + faults.conflicting
        )
    }

    package func bundleID(_ number: Int) -> BundleID { ids.bundle(number) }

    package func recipe(_ number: Int) -> BundleRecipe {
        var generator = SeededGenerator(
            seed: plan.seed, purpose: DrawPurpose.recipe, number: UInt64(number))
        let faults = plan.faults
        let place = generator.unit()
        let shape = shapeBounds.firstIndex { place < $0 } ?? plan.mix.count - 1
        let fault = draw(faults.badBundles, BundleFault.allCases, &generator)
        var resend = draw(faults.resent, BundleRecipe.Resend.allCases, &generator)
        let isCut = generator.unit() < faults.cut
        let isCutWithin = generator.next() & 1 == 0
        let cutAt = generator.unit()
        let isResumable = generator.unit() < plan.resumableShare
        if let fault, fault.isRefused { resend = nil }
        return BundleRecipe(
            number: number, device: number % plan.devices,
            sequence: Int64(number / plan.devices) + 1, shape: shape, fault: fault,
            resend: resend, cut: isCut ? isCutWithin ? .within(cutAt) : .beforeAnswer : nil,
            isResumable: isResumable)
    }

    /// The shape of a bundle.
    package func shape(_ recipe: BundleRecipe) -> LoadPlan.BundleShape { plan.mix[recipe.shape] }

    /// Draws as often whatever comes out, so that one share does not move another's numbers.
    private func draw<Value>(
        _ share: Double, _ values: [Value], _ generator: inout SeededGenerator
    ) -> Value? {
        let isDrawn = generator.unit() < share
        let value = values[Int(generator.next() % UInt64(values.count))]
        return isDrawn ? value : nil
    }
}

// What lines are.
extension RecipeBook {
    /// Every line of every bundle is an original.
    var hasOriginalsOnly: Bool { roleBounds.conflicting <= 0 }

    /// - Parameter index: below the shape's count of transactions.
    func role(_ recipe: BundleRecipe, _ index: Int) -> LineRole {
        guard !hasOriginalsOnly else { return .original }
        let place = LoadID.Place(number: recipe.number, index: index)
        var generator = roleGenerator(place)
        let drawn = generator.unit()
        if drawn < roleBounds.bad {
            let kind = BadLine.allCases[Int(generator.next() % UInt64(BadLine.allCases.count))]
            // The next line's own id: it must still be accepted there.
            let bearsNext = generator.next() & 3 == 0 && index + 1 < shape(recipe).transactions
            return .bad(
                kind,
                bearing: LoadID.Place(number: recipe.number, index: index + (bearsNext ? 1 : 0)))
        }
        guard drawn < roleBounds.conflicting, let target = target(of: place, &generator) else {
            return .original
        }
        return drawn < roleBounds.repeated ? .repeated(target) : .conflicting(target)
    }

    private func roleGenerator(_ place: LoadID.Place) -> SeededGenerator {
        SeededGenerator(
            seed: plan.seed, purpose: DrawPurpose.role,
            number: UInt64(place.number) << 20 | UInt64(place.index))
    }

    /// Lines that are originals only because there was nothing to repeat do not count: to find out
    /// would take the whole past.
    private func isDrawnOriginal(_ place: LoadID.Place) -> Bool {
        var generator = roleGenerator(place)
        return generator.unit() >= roleBounds.conflicting
    }

    /// An original that is accepted before the line at `place` is looked at: earlier in its bundle, or
    /// in its device's previous bundle.
    private func target(
        of place: LoadID.Place, _ generator: inout SeededGenerator
    ) -> LoadID.Place? {
        let previous = place.number - plan.devices
        var previousCount = 0
        if previous >= 0 {
            let recipe = recipe(previous)
            if recipe.fault == nil { previousCount = shape(recipe).transactions }
        }
        for _ in 0..<Self.targetTries {
            let draw = generator.next()
            let isOwn = previousCount == 0 || (place.index > 0 && draw & 1 == 0)
            let count = isOwn ? place.index : previousCount
            guard count > 0 else { return nil }
            let target = LoadID.Place(
                number: isOwn ? place.number : previous, index: Int((draw >> 1) % UInt64(count)))
            if isDrawnOriginal(target) { return target }
        }
        return nil
    }

    private static let targetTries = 8
}
