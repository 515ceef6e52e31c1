/// The demo's input: a week of real flights, CSV, gzipped.
///
/// A module of its own because the compiler takes long over embedded bytes: so it does that once.
package enum DemoFlights {
    package static var gzippedCSV: [UInt8] { PackageResources.flights_week_csv_gz }
}
