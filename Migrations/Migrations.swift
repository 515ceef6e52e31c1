/// The SQL files of this directory, compiled in, oldest first.
///
/// Forward only: an applied file never changes, a correction is another file. The build names each
/// file in the manifest; a test compares that list with the directory.
package enum Migrations {
    /// File names without `.sql`, and their bytes.
    package static let all: [(name: String, sql: [UInt8])] = [
        ("0001_create_schema", PackageResources._001_create_schema_sql),
        (
            "0002_add_dead_letter_retries",
            PackageResources._002_add_dead_letter_retries_sql
        ),
        (
            "0003_add_rotation_and_backups",
            PackageResources._003_add_rotation_and_backups_sql
        ),
        ("0004_add_feed_and_trails", PackageResources._004_add_feed_and_trails_sql),
    ]
}
