/// The contract in machine form: `openapi.yaml`, version 3.1, UTF-8.
///
/// A module of its own because the compiler takes long over embedded bytes: so it does that once.
package enum OpenAPIDocument {
    package static var yaml: [UInt8] { PackageResources.openapi_yaml }
}
