import Foundation
import NIOSSL

/// A server's certificate for 127.0.0.1, signed by itself, of no use outside of tests.
struct TestIdentity {
    let context: NIOSSLContext
    let authorityFile: String

    init() throws {
        let certificate = try NIOSSLCertificate(bytes: Array(Self.certificate.utf8), format: .pem)
        let key = try NIOSSLPrivateKey(bytes: Array(Self.key.utf8), format: .pem)
        context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)], privateKey: .privateKey(key)))
        let file = FileManager.default.temporaryDirectory.appending(
            path: "waybill-test-authority-\(UUID().uuidString).pem")
        try Data(Self.certificate.utf8).write(to: file)
        authorityFile = file.path
    }

    private static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBljCCATygAwIBAgIUCEHpZv4Uk+BCz5NdvRQ7uQG056gwCgYIKoZIzj0EAwIw
        FzEVMBMGA1UEAwwMd2F5YmlsbCB0ZXN0MCAXDTI2MTEyMTE0Mjc0NloYDzIxMjYx
        MDI4MTQyNzQ2WjAXMRUwEwYDVQQDDAx3YXliaWxsIHRlc3QwWTATBgcqhkjOPQIB
        BggqhkjOPQMBBwNCAARg4kBe2Hxjjif+AgU/16HePFDpxqjXcXc3B2plJkkiFm1e
        KxysnGcCA2DZvCDG3rGiEQRhXt/Hoe9BK3DLKI34o2QwYjAdBgNVHQ4EFgQU5M8X
        IxC1n+zD7/QHy71f1OaAb78wHwYDVR0jBBgwFoAU5M8XIxC1n+zD7/QHy71f1OaA
        b78wDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMC
        A0gAMEUCIHoyyYzF6joj7JDFvo/HxpqJEQaNyxIV3JKqAifftmswAiEA2paZZ62z
        Aog5gR53eq13/Zfok8KIA6QLPMmUVhI8/c0=
        -----END CERTIFICATE-----
        """

    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCHSihoOM7IJUII7u
        wcMrYCTNAZNyHBAxlErN1oB1tK+hRANCAARg4kBe2Hxjjif+AgU/16HePFDpxqjX
        cXc3B2plJkkiFm1eKxysnGcCA2DZvCDG3rGiEQRhXt/Hoe9BK3DLKI34
        -----END PRIVATE KEY-----
        """
}
