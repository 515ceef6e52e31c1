/// How sessions are opened and what they may take.
package struct ConnectionOptions: Sendable {
    /// A URL or a list of keywords, as libpq takes it.
    package var connectionString: String
    /// Shown in `pg_stat_activity`.
    package var applicationName: String
    package var connectTimeout: Duration
    /// Longest time for one statement; zero for no limit.
    package var statementTimeout: Duration
    /// Longest wait for one lock; zero for no limit.
    package var lockTimeout: Duration
    /// Longest pause inside an open transaction; zero for no limit.
    package var idleTimeout: Duration
    /// The role that the session takes on; nil for that of the login.
    package var role: String?

    package init(
        connectionString: String, applicationName: String,
        connectTimeout: Duration = .seconds(5), statementTimeout: Duration = .seconds(60),
        lockTimeout: Duration = .seconds(20), idleTimeout: Duration = .seconds(120),
        role: String? = nil
    ) {
        self.connectionString = connectionString
        self.applicationName = applicationName
        self.connectTimeout = connectTimeout
        self.statementTimeout = statementTimeout
        self.lockTimeout = lockTimeout
        self.idleTimeout = idleTimeout
        self.role = role
    }
}
