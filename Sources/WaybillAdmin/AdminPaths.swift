internal import HTTPTypes
internal import Hummingbird
internal import Synchronization

/// The paths of a router with the methods that each has, for answers with `Allow`.
///
/// Learns them when all routes are there: the middleware that asks is added before them.
final class AdminPaths: Sendable {
    fileprivate struct Path {
        /// `{name}` stands for any one segment.
        let segments: [Substring]
        var methods: Set<String>
    }

    private let paths = Mutex<[String: Path]>([:])

    func learn(_ router: Router<BasicRequestContext>) {
        paths.withLock { paths in
            for route in router.routes {
                let template = route.path.description
                var path =
                    paths[template] ?? Path(segments: template.split(separator: "/"), methods: [])
                path.methods.insert(route.method.rawValue)
                if route.method == .get { path.methods.insert("HEAD") }
                paths[template] = path
            }
        }
    }

    /// The methods of whatever a path leads to, separated by commas; nil if it leads nowhere.
    func allowed(_ path: String) -> String? {
        let segments = path.split(separator: "/")
        let methods = paths.withLock { paths in
            let fitting = paths.values.filter { $0.matches(segments) }
            let literal = fitting.filter(\.isLiteral)
            return (literal.isEmpty ? fitting : literal).reduce(into: Set<String>()) {
                $0.formUnion($1.methods)
            }
        }
        return methods.isEmpty ? nil : methods.sorted().joined(separator: ", ")
    }
}

extension AdminPaths.Path {
    fileprivate var isLiteral: Bool { !segments.contains { $0.hasPrefix("{") } }

    fileprivate func matches(_ path: [Substring]) -> Bool {
        path.count == segments.count
            && zip(path, segments).allSatisfy { given, wanted in
                wanted.hasPrefix("{") || given == wanted
            }
    }
}
