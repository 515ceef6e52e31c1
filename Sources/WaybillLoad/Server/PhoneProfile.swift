/// A mobile network as a device sees it.
struct PhoneProfile: Sendable, Equatable {
    /// From the devices to the server.
    var up: LinkShape
    /// From the server to the devices.
    var down: LinkShape

    /// EDGE, as facebook/augmented-traffic-control's profile "Edge - Average" has it: 200 kbit/s and
    /// 440 ms up, 240 kbit/s and 400 ms down. It has no jitter; 100 ms is what Loadero's network mode
    /// "Edge" takes.
    static let edge = PhoneProfile(
        up: LinkShape(delay: 0.440, jitter: 0.100, rate: 200_000),
        down: LinkShape(delay: 0.400, jitter: 0.100, rate: 240_000))

    /// Rates and delay of the same project's "3G - Average": 330 and 780 kbit/s, 100 ms each way. What
    /// goes wrong is chosen: 3 % lost lies between Loadero's ordinary modes (1 % at most) and its
    /// "5% packetloss", in bursts of four on average, and one packet in a hundred comes too early.
    static let lossy = PhoneProfile(
        up: LinkShape(
            delay: 0.100, jitter: 0.030, rate: 330_000, loss: .bursts(share: 0.03, length: 4),
            reordered: 0.01),
        down: LinkShape(
            delay: 0.100, jitter: 0.030, rate: 780_000, loss: .bursts(share: 0.03, length: 4),
            reordered: 0.01))

    /// Nothing gets through: a train at 300 km/h is in a tunnel of 830 m for the usual ten seconds.
    static let tunnel = PhoneProfile(up: LinkShape(loss: .all), down: LinkShape(loss: .all))

    init(up: LinkShape, down: LinkShape) {
        self.up = up
        self.down = down
    }

    /// Nil for what is no network.
    init?(_ action: LoadPlan.ChaosStep.Action) {
        switch action {
        case .edge: self = .edge
        case .lossy: self = .lossy
        case .tunnel: self = .tunnel
        case .killServer, .restartServer, .killPostgres, .scale, .fillDisk: return nil
        }
    }

    /// For that many phones on one wire: each has the rate for itself.
    func shared(by phones: Int) -> PhoneProfile {
        PhoneProfile(up: up.shared(by: phones), down: down.shared(by: phones))
    }
}

/// One direction of a link.
struct LinkShape: Sendable, Equatable {
    enum Loss: Sendable, Equatable {
        case all
        /// Gilbert's model: a share of packets, lost in bursts of a mean length.
        case bursts(share: Double, length: Double)
    }

    /// Seconds.
    var delay = 0.0
    /// Seconds more or less than the delay.
    var jitter = 0.0
    /// Bits a second; nil for as fast as it goes.
    var rate: Double?
    var loss: Loss?
    /// Share of packets that overtake the others.
    var reordered = 0.0

    init(
        delay: Double = 0, jitter: Double = 0, rate: Double? = nil, loss: Loss? = nil,
        reordered: Double = 0
    ) {
        self.delay = delay
        self.jitter = jitter
        self.rate = rate
        self.loss = loss
        self.reordered = reordered
    }

    func shared(by phones: Int) -> LinkShape {
        var shape = self
        shape.rate = rate.map { $0 * Double(max(phones, 1)) }
        return shape
    }

    /// What Gilbert's model is made of: the chances to get from good to bad and back, for each packet.
    static func gilbert(share: Double, length: Double) -> (worsens: Double, mends: Double) {
        let mends = 1 / max(length, 1)
        return (share * mends / (1 - share), mends)
    }

    /// Arguments of `tc qdisc … netem` (tc-netem(8)).
    var netemArguments: [String] {
        // The usual 1000 packets are less than what many phones have on their way.
        var arguments = ["limit", "10000"]
        if delay > 0 {
            arguments += ["delay", Self.milliseconds(delay), Self.milliseconds(jitter), "25%"]
        }
        switch loss {
        case nil: break
        case .all: arguments += ["loss", "100%"]
        case .bursts(let share, let length):
            let (worsens, mends) = Self.gilbert(share: share, length: length)
            arguments += ["loss", "gemodel", Self.percent(worsens), Self.percent(mends)]
        }
        if reordered > 0 { arguments += ["reorder", Self.percent(reordered), "50%"] }
        if let rate { arguments += ["rate", "\(Int(rate))bit"] }
        return arguments
    }

    private static func milliseconds(_ seconds: Double) -> String {
        "\(Int((seconds * 1000).rounded()))ms"
    }

    private static func percent(_ share: Double) -> String {
        "\((share * 100_000).rounded() / 1000)%"
    }
}
