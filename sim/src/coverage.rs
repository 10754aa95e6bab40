//! What runs met: a simulator that meets nothing finds nothing.

/// Declares `Coverage`, with what it counts.
#[macro_export]
macro_rules! coverage {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Coverage {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl $crate::many::Tally for Coverage {
            fn add(&mut self, other: &Coverage) {
                $(self.$name += other.$name;)*
            }

            fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

coverage! {
    /// Journal records at the end.
    records,
    /// Replies checked against the model.
    checked,
    /// 200.
    ok,
    /// 422.
    unprocessable,
    /// 503.
    unavailable,
    /// 408.
    timed_out,
    /// Others.
    other,
    /// `fdatasync` jobs done.
    syncs,
    /// Snapshots finished.
    snapshots,
    /// Segments begun.
    segments,
    /// Sockets paused.
    pauses,
    /// Lives that ended with the kernel intact.
    kills,
    /// Lives that ended with a loss of power, or a failed sync.
    power_losses,
    /// Processes that died within an operation on the disk.
    killed_within,
    /// Processes in which a core gave up.
    failures,
    /// Stops that were done in time.
    clean_stops,
    /// Recoveries that were interrupted.
    interrupted_recoveries,
    /// Records that a loss of power took.
    lost_records,
    /// Records replayed.
    replayed,
    /// Tails cut off.
    torn_tails,
    /// Segments half created.
    half_segments,
    /// Snapshots that could not be used.
    bad_snapshots,
    /// Processes killed while others went on.
    node_kills,
    /// Processes stopped while others went on.
    node_stops,
    /// Processes paused.
    node_pauses,
    /// Processes that came back while others went on.
    restarts,
    /// Shards taken by a member that is not their home.
    takeovers,
    /// Shards taken by their home from a running cluster.
    hand_backs,
    /// Links between processes that broke.
    links_cut,
    /// Links between processes in which nothing arrived for a while.
    links_stuck,
    /// Keyed requests asked again for want of an answer.
    retries,
    /// Keyed requests asked again in spite of one, or while one was on its way.
    duplicates,
    /// Payments that processors were asked for.
    attempts,
    /// Of those, the ones that something happened to.
    spoilt,
    /// Of those, the ones that were answered with what makes no sense.
    senseless,
    /// Payments that processors carried out.
    paid,
    /// Of those, the ones that went to fallback.
    paid_dearly,
    /// Requests that processors turned away because there were too many.
    too_many,
    /// Payments that processors were asked about.
    lookups,
    /// Processors that were asked about their health.
    health_questions,
    /// Files of settled payments.
    runs,
    /// Clients that read or write slowly, and much.
    crowd,
    /// Writes that a file size limit refused.
    too_large,
    /// Payments answered while both processors hang.
    paid_in_spite,
    /// Steps of the real-time clock.
    clock_steps,
}

impl Coverage {
    /// Counts a reply.
    pub fn replied(&mut self, status: u16) {
        *match status {
            200 | 202 => &mut self.ok,
            422 => &mut self.unprocessable,
            503 => &mut self.unavailable,
            408 => &mut self.timed_out,
            _ => &mut self.other,
        } += 1;
    }
}
