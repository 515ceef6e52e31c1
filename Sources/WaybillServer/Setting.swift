/// One configurable value: its name, what it means, and what it is when nobody says.
///
/// The same name serves as command line option (`--data-dir`), environment variable
/// (`WAYBILL_DATA_DIR`), file in the secrets directory and key in the configuration file.
struct Setting: Sendable {
    let key: String
    let summary: String
    /// Nil means: not set.
    let defaultText: String?
    var isSecret = false

    var environmentName: String {
        "WAYBILL_" + key.uppercased().replacing("-", with: "_")
    }
}

extension Setting {
    /// Every setting there is. README.md lists the same; a test compares.
    static let catalogue: [Setting] = [
        Setting(
            key: "data-dir", summary: "directory of queue, parts, keys and snapshots",
            defaultText: "./waybill-data"),
        Setting(
            key: "device-address", summary: "address that devices connect to",
            defaultText: "127.0.0.1:8080"),
        Setting(
            key: "admin-address", summary: "address of the operator's side, loopback only",
            defaultText: "127.0.0.1:8081"),
        Setting(
            key: "public-url", summary: "URL under which devices reach the server, without /v1",
            defaultText: nil),
        Setting(
            key: "database-url",
            summary: "PostgreSQL connection URI; without one a private server is run",
            defaultText: nil, isSecret: true),
        Setting(
            key: "database-connections",
            summary: "connections besides the listeners' and two that the server keeps for itself",
            defaultText: "4"),
        Setting(
            key: "tls-certificate", summary: "PEM file with the certificate chain",
            defaultText: nil),
        Setting(key: "tls-key", summary: "PEM file with the private key", defaultText: nil),
        Setting(
            key: "trusted-proxy",
            summary: "CIDR of the proxies that may forward plain HTTP, separated by commas",
            defaultText: nil),
        Setting(
            key: "cors-origins",
            summary: "origins whose pages and web views may call the device side, separated by "
                + "commas; * for all",
            defaultText: nil),
        Setting(
            key: "migrate", summary: "bring the schema up to date at start", defaultText: "true"),
        Setting(key: "listeners", summary: "listeners at start", defaultText: "2"),
        Setting(key: "listeners-max", summary: "no more listeners than this", defaultText: "256"),
        Setting(
            key: "attempts-max", summary: "tries of a bundle that fails before it is quarantined",
            defaultText: "5"),
        Setting(
            key: "failing-seconds-max",
            summary: "how long a failing bundle may hold back its device's later ones",
            defaultText: "600"),
        Setting(
            key: "lease-duration",
            summary: "how long a listener may keep bundles without a sign of life",
            defaultText: "300s"),
        Setting(
            key: "root-key-file",
            summary: "32 bytes in hexadecimal, shared by all nodes of a database: device secrets",
            defaultText: nil),
        Setting(
            key: "master-key-file",
            summary: "32 bytes in hexadecimal, of this node: the queue's log", defaultText: nil),
        Setting(
            key: "previous-master-key-files",
            summary:
                "master keys that were replaced, separated by commas: what is still in the log",
            defaultText: nil),
        Setting(
            key: "log-level", summary: "trace, debug, info, notice, warning, error or critical",
            defaultText: "info"),
        Setting(key: "log-format", summary: "json or text", defaultText: "json"),
        Setting(
            key: "segment-bytes",
            summary:
                "size at which a log segment is closed; one more is kept ready, and the first after a "
                + "start has at most 8 MiB",
            defaultText: "64MiB"),
        Setting(
            key: "inline-bytes-max", summary: "parts up to this go straight into the log",
            defaultText: "256KiB"),
        Setting(key: "record-bytes-max", summary: "one line of an entry", defaultText: "1MiB"),
        Setting(key: "part-bytes-max", summary: "one part as uploaded", defaultText: "64MiB"),
        Setting(
            key: "part-unzipped-bytes-max", summary: "one part, inflated", defaultText: "256MiB"),
        Setting(
            key: "part-ratio-max", summary: "inflated bytes per zipped byte, past the first MiB",
            defaultText: "200"),
        Setting(
            key: "bundle-bytes-max", summary: "all parts of one bundle as uploaded",
            defaultText: "1GiB"),
        Setting(
            key: "bundle-unzipped-bytes-max", summary: "all parts of one bundle, inflated",
            defaultText: "4GiB"),
        Setting(
            key: "bundle-parts-max", summary: "parts in one bundle",
            defaultText: "1000"),
        Setting(
            key: "open-bundles-max", summary: "unfinished bundles of a device",
            defaultText: "8"),
        Setting(
            key: "open-bytes-max",
            summary: "bytes of a device's unfinished bundles and uploads, as declared or received",
            defaultText: "1GiB"),
        Setting(
            key: "open-bundle-days",
            summary: "unfinished bundles and uploads expire after these days without progress",
            defaultText: "30"),
        Setting(
            key: "bundle-transactions-max", summary: "transactions in one bundle",
            defaultText: "100000"),
        Setting(
            key: "disk-free-floor",
            summary: "free disk space below which nothing is received; auto is the smaller of "
                + "1 GiB and 5 %, 0 is none",
            defaultText: "auto"),
        Setting(
            key: "backlog-bundles-max", summary: "unsettled bundles at which receiving pauses",
            defaultText: "10000000"),
        Setting(
            key: "backlog-bytes-max",
            summary: "bytes of unsettled bundles at which receiving pauses",
            defaultText: "1024GiB"),
        Setting(
            key: "rate-requests", summary: "requests a second and device, 0 for no limit",
            defaultText: "50"),
        Setting(
            key: "rate-requests-burst", summary: "requests a device may send at once",
            defaultText: "200"),
        Setting(
            key: "rate-bytes",
            summary: "bytes a second and device of PUT and PATCH, 0 for no limit",
            defaultText: "32MiB"),
        Setting(
            key: "rate-bytes-burst", summary: "bytes of PUT and PATCH a device may send at once",
            defaultText: "256MiB"),
        Setting(
            key: "connections-max",
            summary: "connections of devices at once, as far as there are file descriptors",
            defaultText: "10000"),
        Setting(
            key: "requests-in-progress-max",
            summary: "requests of a device at once, long polls and streams among them",
            defaultText: "64"),
        Setting(
            key: "header-deadline", summary: "time for a request's head to be complete",
            defaultText: "10s"),
        Setting(
            key: "idle-timeout", summary: "time between two requests of a connection",
            defaultText: "90s"),
        Setting(
            key: "body-rate-min", summary: "bytes a second that a body must bring",
            defaultText: "1KiB"),
        Setting(
            key: "body-rate-window", summary: "time over which those are counted",
            defaultText: "30s"),
        Setting(
            key: "shutdown-grace",
            summary: "time for requests on their way when the server ends; then 503",
            defaultText: "10s"),
        Setting(
            key: "header-bytes-max", summary: "a request's head", defaultText: "16KiB"),
        Setting(
            key: "rate-failures",
            summary: "refused tokens and codes a second and address, 0 for no limit",
            defaultText: "20"),
        Setting(
            key: "rate-failures-burst", summary: "refused tokens and codes of an address at once",
            defaultText: "200"),
        Setting(
            key: "dead-letter-retention",
            summary: "dead letters older than this are discarded: s, m, h or d",
            defaultText: "90d"),
        Setting(
            key: "dead-letter-bytes-max",
            summary: "beyond this the oldest dead letters of the node are discarded",
            defaultText: "10GiB"),
        Setting(
            key: "epoch-grace",
            summary: "days in which bundles sealed before a rotation are still opened",
            defaultText: "30"),
        Setting(
            key: "backup-policy",
            summary: "none, or recorded: `safe_through` follows `waybill backup`",
            defaultText: "none"),
    ]
}
