package import WaybillModel
internal import WaybillOpening
package import WaybillSealing

/// Makes sealed bundles from their numbers.
///
/// Nothing is kept: the same number gives the same bytes at any time, on any thread, in any order. What
/// must become of a bundle, its ``RecipeBook`` says.
package struct BundleMaker: Sendable {
    package let book: RecipeBook
    /// In the order of ``BundleRecipe/device``.
    package let devices: [LoadDevice]
    let lines: LineWriter

    /// - Parameter devices: as many as the plan has.
    package init(book: RecipeBook, devices: [LoadDevice]) {
        precondition(devices.count == book.plan.devices)
        self.book = book
        self.devices = devices
        lines = LineWriter(payloads: book.payloads)
    }

    /// See ``RecipeBook/expectation(_:digest:)``.
    package func expectation(_ number: Int, digest: Digest256) -> Expectation? {
        book.expectation(number, digest: digest)
    }

    /// See ``RecipeBook/rows(_:)``.
    package func rows(_ number: Int) -> [ExpectedRow] { book.rows(number) }

    /// Seals bundles; their keys are derived side by side, so that several cost less each than one.
    ///
    /// Computes for long: never call it on the cooperative pool or an event loop.
    package func seal(_ numbers: [Int]) throws(SealingError) -> [SealedBundle] {
        let recipes = numbers.map { book.recipe($0) }
        var writer = ByteWriter()
        var drafts: [Draft] = []
        for recipe in recipes {
            let entries = entries(recipe, &writer)
            for (position, entry) in entries.enumerated() {
                drafts.append(draft(recipe, part: position + 1, of: entries.count, entry))
            }
        }
        let keys = PartKeys.derive(drafts.map { (password: $0.password, salt: $0.salt) })
        let method: CompressionMethod = book.plan.compression == .stored ? .stored : .deflated
        var bundles: [SealedBundle] = []
        bundles.reserveCapacity(numbers.count)
        var next = 0
        for recipe in recipes {
            var parts: [[UInt8]] = []
            for _ in 0..<max(1, book.shape(recipe).parts) {
                let draft = drafts[next]
                var part = try PartSealer.seal(
                    draft.entry, salt: draft.salt, material: keys[next].material, method: method,
                    effort: .least)
                if let fault = draft.fault { damage(&part, fault, recipe) }
                parts.append(part)
                next += 1
            }
            bundles.append(bundle(recipe.number, parts))
        }
        return bundles
    }

    /// One part before it is sealed.
    private struct Draft {
        let entry: [UInt8]
        let password: [UInt8]
        let salt: [UInt8]
        /// Of the archive; nil where another part bears it, or none.
        let fault: BundleFault?
    }

    private func draft(
        _ recipe: BundleRecipe, part: Int, of parts: Int, _ entry: [UInt8]
    ) -> Draft {
        let device = devices[recipe.device]
        var generator = generator(DrawPurpose.fault, recipe.number)
        let isFaulty = generator.next() % UInt64(parts) == UInt64(part - 1)
        let fault = isFaulty ? recipe.fault : nil
        let secret = fault == .wrongPassword ? device.secret.map { ~$0 } : device.secret
        let password = PartPassword.derive(
            secret: secret,
            identity: PartIdentity(
                tenant: device.tenant.text, deviceID: device.deviceID.description,
                bundleID: book.bundleID(recipe.number).bytes, epoch: device.epoch, part: part))
        var salts = self.generator(DrawPurpose.salt, recipe.number << 10 | part)
        let salt = [salts.next(), salts.next()].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
        }
        return Draft(entry: entry, password: password, salt: salt, fault: fault)
    }

    private func damage(_ part: inout [UInt8], _ fault: BundleFault, _ recipe: BundleRecipe) {
        var generator = generator(DrawPurpose.fault, recipe.number)
        _ = generator.next()
        switch fault {
        case .wrongPassword, .otherBundle, .miscounted: break
        case .flippedByte:
            // Of the ciphertext: the local header and what stands before the data take 72 bytes, the
            // authentication code and the directory 102.
            let count = part.count - Self.headCount - Self.tailCount
            let position = Self.headCount + Int(generator.next() % UInt64(count))
            part[position] ^= UInt8(1 << (generator.next() & 7))
        case .truncated: part.removeSubrange((part.count / 2)...)
        case .notZip:
            // As long as the part would have been, and without any record of a ZIP archive.
            for position in part.indices {
                part[position] = UInt8(ascii: "a") + UInt8(generator.next() % 26)
            }
        }
    }

    /// What stands before the ciphertext: local header, salt and verifier.
    static let headCount = 72
    /// What stands behind it: authentication code, directory and end.
    static let tailCount = 102

    private func generator(_ purpose: UInt64, _ number: Int) -> SeededGenerator {
        SeededGenerator(
            seed: book.plan.seed ^ UInt64(book.runID) << 32, purpose: purpose,
            number: UInt64(number))
    }

    private func bundle(_ number: Int, _ parts: [[UInt8]]) -> SealedBundle {
        let digests = parts.map { Digest256.of($0) }
        return SealedBundle(
            number: number, id: book.bundleID(number), parts: parts, partDigests: digests,
            digest: Digest256.ofBundle(parts: digests))
    }
}
