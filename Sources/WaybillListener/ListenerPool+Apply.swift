package import WaybillModel
internal import WaybillThreads

extension ListenerPool {
    /// ``change(_:where:)`` on a thread of its own: it waits for the disk, and happens rarely.
    ///
    /// - Throws: as that, and ``ListenerError/settingUnwritable(_:)`` when there is no thread.
    package func apply(
        _ change: ListenerChange, where isExpected: @escaping @Sendable (ListenerStatus) -> Bool
    ) async throws(ListenerError) -> (before: ListenerStatus, after: ListenerStatus) {
        typealias Outcome = Result<(before: ListenerStatus, after: ListenerStatus), ListenerError>
        let outcome = await withCheckedContinuation {
            (continuation: CheckedContinuation<Outcome, Never>) in
            do throws(ThreadError) {
                _ = try NamedThread(name: "listeners-set") {
                    do throws(ListenerError) {
                        continuation.resume(
                            returning: .success(try self.change(change, where: isExpected)))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            } catch {
                continuation.resume(returning: .failure(.settingUnwritable("\(error)")))
            }
        }
        return try outcome.get()
    }
}
