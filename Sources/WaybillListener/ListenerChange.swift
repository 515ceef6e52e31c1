internal import WaybillModel

/// What an operator wants of a pool.
package enum ListenerChange: Sendable, Equatable {
    /// That many, from now on.
    case fixed(Int)
    /// As many as the work needs, within these bounds.
    case automatic(min: Int, max: Int)
    /// As many as there are, from now on.
    case keep
}

/// What outlives a restart: how many listeners an operator wants.
package struct ListenerSetting: Codable, Sendable, Equatable {
    package var target: Int
    /// The bounds of automatic scaling; nil while it is off.
    package var automatic: Bounds?

    package struct Bounds: Codable, Sendable, Equatable {
        package var min: Int
        package var max: Int

        package init(min: Int, max: Int) {
            self.min = min
            self.max = max
        }
    }

    package init(target: Int, automatic: Bounds? = nil) {
        self.target = target
        self.automatic = automatic
    }
}

/// One listener at one moment.
struct ListenerNote: Sendable {
    /// When it took the batch it holds; nil while it has none.
    var busySince: Timestamp?
    /// Bundles in that batch.
    var batch = 0
    /// Bundles settled since the pool began, also by earlier listeners of the same number.
    var settled = 0
}
