import HummingbirdTesting
import Testing
import WaybillModel

@Suite struct BrokenRequestTests {
    private func head(_ token: String, _ more: String) -> String {
        "POST /v1/bundles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n"
            + "Content-Type: application/zip\r\nIdempotency-Key: \(BundleID.random())\r\n"
            + more + "\r\n"
    }

    @Test(arguments: [false, true])
    func queuesNothingOfABodyThatBreaksOff(isChunked: Bool) async throws {
        let side = try DeviceSide()
        let bytes = try DeviceSide.part(byteCount: 9000)
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            if isChunked {
                let size = String(bytes.count, radix: 16)
                try connection.send(
                    head(DeviceSide.token, "Transfer-Encoding: chunked\r\n") + size + "\r\n", bytes)
            } else {
                try connection.send(
                    head(DeviceSide.token, "Content-Length: \(bytes.count + 1)\r\n"), bytes)
            }
            connection.endSending()
            let answer = await connection.read()
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 400"))
            #expect(side.queue.messages.isEmpty)
            #expect(try side.fileNames().isEmpty)
        }
    }

    @Test func asksForABodyOnlyAfterTheTokenWasChecked() async throws {
        let side = try DeviceSide()
        let bytes = try DeviceSide.part()
        let expecting = "Content-Length: \(bytes.count)\r\nExpect: 100-continue\r\n"
        try await side.run { client in
            let port = try #require(client.port)
            let stranger = try RawConnection(port: port)
            try stranger.send(head("wrong", expecting))
            let refusal = await stranger.read(until: "}")
            #expect(refusal.hasPrefix("HTTP/1.1 401"))
            #expect(refusal.lowercased().contains("connection: close"))

            let known = try RawConnection(port: port)
            try known.send(head(DeviceSide.token, expecting))
            let invitation = await known.read(until: "\r\n\r\n")
            #expect(invitation == "HTTP/1.1 100 Continue\r\n\r\n")
            try known.send("", bytes)
            let answer = await known.read(until: "null}")
            #expect(answer.hasPrefix("HTTP/1.1 202"))
        }
    }

    @Test func asksNobodyOfHTTP10ForABody() async throws {
        let side = try DeviceSide()
        let bytes = try DeviceSide.part()
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            let expecting = head(
                DeviceSide.token, "Content-Length: \(bytes.count)\r\nExpect: 100-continue\r\n")
            try connection.send(expecting.replacing("HTTP/1.1", with: "HTTP/1.0"), bytes)
            #expect(await connection.read().hasPrefix("HTTP/1.1 202"))
        }
    }

    /// "checked wherever they are sent": not in a trailer, so there is none.
    @Test func keepsNothingOfABodyWithADigestInATrailer() async throws {
        let side = try DeviceSide()
        let bytes = try DeviceSide.part(byteCount: 9000)
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            let size = String(bytes.count, radix: 16)
            try connection.send(
                head(DeviceSide.token, "Transfer-Encoding: chunked\r\n") + size + "\r\n", bytes)
            try connection.send("\r\n0\r\nContent-Digest: sha-256=:AA==:\r\n\r\n")
            let answer = await connection.read()
            #expect(answer.hasPrefix("HTTP/1.1 400"))
            #expect(answer.contains("not as trailers"))
            #expect(side.queue.messages.isEmpty)
            #expect(try side.fileNames().isEmpty)
        }
    }

    @Test func answersAFullUploadOnOneConnectionTwice() async throws {
        let side = try DeviceSide()
        let bytes = try DeviceSide.part(byteCount: 9000)
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            for _ in 0..<2 {
                try connection.send(
                    head(DeviceSide.token, "Content-Length: \(bytes.count)\r\n"), bytes)
                let answer = await connection.read(until: "null}")
                #expect(answer.hasPrefix("HTTP/1.1 202"))
            }
            #expect(side.queue.messages.count == 2)
        }
    }
}
