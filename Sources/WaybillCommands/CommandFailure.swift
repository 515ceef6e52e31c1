internal import ArgumentParser
internal import WaybillClient

/// Why a command ends without its result.
struct CommandFailure: Error {
    /// The command line's exit codes (CONTRACT.md, "Command line").
    enum Kind: Int32 {
        case failed = 1
        case checkNotMet = 2
        case usage = 64
        case unreachable = 69
        case denied = 77
    }

    let kind: Kind
    let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    init(_ error: ClientError) {
        let kind: Kind =
            switch error {
            case .unreachable: .unreachable
            case .problem(_, 401), .problem(_, 403): .denied
            case .problem, .malformed: .failed
            }
        self.init(kind, error.description)
    }
}

/// Runs a command's work; a failure is told on standard error and becomes the exit code.
func reporting(_ work: () async throws -> Void) async throws {
    let failure: CommandFailure
    do {
        return try await work()
    } catch let error as CommandFailure {
        failure = error
    } catch let error as ClientError {
        failure = CommandFailure(error)
    } catch let error as ExitCode {
        throw error
    } catch let error as ValidationError {
        throw error
    } catch {
        failure = CommandFailure(.failed, "\(error)")
    }
    Console.note("waybill: " + failure.message)
    throw ExitCode(failure.kind.rawValue)
}
