//! Known-wrong behaviour, put in through the seams that the simulator owns: each one must be found.

/// Declares `Sabotage`, with its kinds.
#[macro_export]
macro_rules! sabotages {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage {
            $($(#[$doc])* $name,)*
        }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Sabotage] = &[$(Sabotage::$name),*];
        }
    };
}

sabotages! {
    /// The end of a process loses what was written and not synced.
    KillLosesWrites,
    /// `fdatasync` does nothing.
    SyncIgnored,
    /// `fdatasync` makes the newest write durable, and leaves out the one before.
    SyncReordered,
    /// `fsync` of a directory does nothing.
    DirSyncIgnored,
    /// Now and then a write is said to be done, and is not.
    WriteDropped,
    /// Now and then the journal gets a wrong byte.
    WriteDamaged,
    /// Cutting a file back does nothing.
    CutIgnored,
    /// A request reaches the server twice.
    RequestRepeated,
    /// A digit of a reply is another one.
    ReplyChanged,
    /// A reply never arrives.
    ReplyDropped,
    /// The disk stays full when it should have room again.
    FullForever,
    /// A lock is given to whoever wants it.
    LockIgnored,
    /// A process that is paused loses its locks.
    LockLost,
    /// A request is repeated without its `Idempotency-Key`.
    KeyForgotten,
    /// Every life of a member has the same epoch.
    EpochRepeated,
    /// A processor that has stored a payment says that it failed.
    StoredIsRefused,
    /// One that failed says that it has stored it.
    RefusedIsStored,
    /// One that does not know a payment says that it has it.
    NotFoundIsFound,
    /// What is asked of one processor is asked of the other one, too.
    PaidByBoth,
    /// A payment that is sent again has another `requestedAt`.
    RequestedAtFresh,
    /// A payment reaches its processor with another amount.
    AmountChanged,
    /// A processor forgets what it has stored.
    StoredIsForgotten,
    /// Steps of the real-time clock are kept from the cores.
    MomentsOfOld,
    /// The time of a shard that is recovered is twenty minutes ahead from then on.
    TimeJumps,
    /// It stands still for twenty minutes.
    TimeStands,
    /// A reset reaches the server twice.
    ResetRepeated,
    /// A payment's request reaches its processor twice.
    AttemptRepeated,
    /// Payments are late a hundred times later than they should be.
    DeadlineForgotten,
}

impl Sabotage {
    /// From which seed on it is soon met. One that few seeds meet would take minutes from the first one on.
    pub fn first_seed(self) -> u64 {
        match self {
            Sabotage::TimeStands => 500,
            Sabotage::DeadlineForgotten => 800,
            _ => 0,
        }
    }
}
