//! Known-wrong engines, clocks and members: each one must be found.

crate::sabotages! {
    /// The engine appends to a shard's log whatever the writer expects.
    LogNotFenced,
    /// The same for leases: a renewal follows a revocation.
    LeaseNotFenced,
    /// A lease is revoked and its holder's renewals go on, for the engine says so and does nothing.
    RevokedInName,
    /// Clocks drift so much that a lease lasts longer than its silence.
    NoMargin,
    /// A server that has lost records leads, and says that it has all.
    HolesHidden,
    /// The log's front goes although a shard's file does not have it.
    PurgedTooFar,
    /// A write is confirmed when it is sent, and not when the engine has acknowledged it.
    ConfirmedWhenSent,
    /// A copy is read although the lease has run out.
    ReadWithoutLease,
    /// A read is answered before what it has seen is acknowledged.
    ReadUnacknowledged,
    /// What was not acknowledged when a shard was lost stays in the copy.
    NotTakenBack,
}
