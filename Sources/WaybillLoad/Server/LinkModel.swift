/// What one direction of a link does to packets: decides when each comes out, or that it is lost.
/// Pure; the same decisions for the same seed.
struct LinkModel: Sendable {
    private let shape: LinkShape
    private var generator: SeededGenerator
    private var isBad = false
    /// When the wire has sent what waits for it, in nanoseconds.
    private var freeAt: Int64 = 0
    private var lastOut: Int64 = 0
    /// What would wait longer for the wire is dropped: phone networks buffer seconds.
    private static let bufferNanoseconds: Int64 = 2_000_000_000

    init(_ shape: LinkShape, seed: UInt64) {
        self.shape = shape
        generator = SeededGenerator(seed: seed)
    }

    /// - Parameters:
    ///   - bytes: the packet's length.
    ///   - now: nanoseconds of any clock that only rises.
    /// - Returns: when it comes out; nil: it is lost.
    mutating func admit(bytes: Int, at now: Int64) -> Int64? {
        guard !isLost() else { return nil }
        var sent = max(now, freeAt)
        if let rate = shape.rate {
            guard sent - now <= Self.bufferNanoseconds else { return nil }
            sent += Int64(Double(bytes * 8) / rate * 1e9)
            freeAt = sent
        }
        if shape.reordered > 0, generator.unit() < shape.reordered { return sent }
        let jitter = shape.jitter * (generator.unit() * 2 - 1)
        // Only those that overtake on purpose come out of order.
        lastOut = max(lastOut, sent + Int64(max(shape.delay + jitter, 0) * 1e9))
        return lastOut
    }

    private mutating func isLost() -> Bool {
        switch shape.loss {
        case nil: return false
        case .all: return true
        case .bursts(let share, let length):
            let (worsens, mends) = LinkShape.gilbert(share: share, length: length)
            let turns = generator.unit() < (isBad ? mends : worsens)
            if turns { isBad.toggle() }
            return isBad
        }
    }
}

/// Packets on their way, the first to come out first.
struct PacketQueue: Sendable {
    private struct Packet {
        var out: Int64
        /// Of two that come out at once, the first in.
        var number: Int
        var bytes: [UInt8]
    }

    private var heap: [Packet] = []
    private var admitted = 0

    var isEmpty: Bool { heap.isEmpty }

    /// When the next one comes out.
    var nextOut: Int64? { heap.first?.out }

    mutating func add(_ bytes: [UInt8], out: Int64) {
        heap.append(Packet(out: out, number: admitted, bytes: bytes))
        admitted += 1
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// The next packet that is out by then.
    mutating func take(at now: Int64) -> [UInt8]? {
        guard let first = heap.first, first.out <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < heap.count }
            guard let least = children.min(by: isBefore), isBefore(least, parent) else { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return first.bytes
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        (heap[left].out, heap[left].number) < (heap[right].out, heap[right].number)
    }
}
