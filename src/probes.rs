//! Static probes (USDT) for `bpftrace`, `perf` and SystemTap: what each tells is in `docs/profiling.md`.
//!
//! A probe that nobody watches is a `nop`; an ELF note says where it is and where its arguments are
//! (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>). All arguments are 64 bits, signed. One
//! macro call for each probe: the compiler may still put it into several places, all of which are watched.

use std::ffi::CStr;

use probe::probe;

/// The halves of an id, the higher one first.
fn halves(id: u128) -> (u64, u64) {
    ((id >> 64) as u64, id as u64)
}

/// A request is parsed. `shard`: of its account or payment; `None` where it concerns no single shard.
#[inline(always)]
pub(crate) fn request(endpoint: &'static CStr, shard: Option<usize>) {
    let shard = shard.map_or(-1, |shard| shard as i64);
    probe!(galo, request, endpoint.as_ptr(), shard);
}

/// A command is applied. `sequence`: of the shard's newest record; `status`: HTTP's, of the reply.
#[inline(always)]
pub(crate) fn command(shard: usize, sequence: u64, status: u16) {
    probe!(galo, command, shard, sequence, status);
}

/// The batch of a tick is in a shard's journal: one `pwrite`.
#[inline(always)]
pub(crate) fn batch(shard: usize, records: u64, bytes: u64) {
    probe!(galo, batch, shard, records, bytes);
}

/// `fdatasync` of a shard's journal begins, on a thread for jobs.
#[inline(always)]
pub(crate) fn sync_begin(shard: u32) {
    probe!(galo, sync__begin, shard);
}

/// It has ended; `errno`: 0 if it is done.
#[inline(always)]
pub(crate) fn sync_done(shard: u32, errno: i32) {
    probe!(galo, sync__done, shard, errno);
}

/// A command goes to the core or node that owns its shard. `counter`: names it, together with the shard.
#[inline(always)]
pub(crate) fn hop_sent(member: usize, shard: usize, counter: u64) {
    probe!(galo, hop__sent, member, shard, counter);
}

/// A command of another core or node has come.
#[inline(always)]
pub(crate) fn hop_received(member: usize, shard: usize, counter: u64) {
    probe!(galo, hop__received, member, shard, counter);
}

/// A shard's lock is tried for.
#[inline(always)]
pub(crate) fn takeover_begin(shard: u32) {
    probe!(galo, takeover__begin, shard);
}

/// The shard is recovered and ours (1), another process has it (0), or it cannot be recovered (-1).
#[inline(always)]
pub(crate) fn takeover_done(shard: u32, outcome: i32) {
    probe!(galo, takeover__done, shard, outcome);
}

/// A payment is bound to a processor, and sent to it when that is written.
#[inline(always)]
pub(crate) fn payment_bound(shard: usize, processor: usize, id: u128) {
    let (high, low) = halves(id);
    probe!(galo, payment__bound, shard, processor, high, low);
}

/// A processor has the payment.
#[inline(always)]
pub(crate) fn payment_settled(shard: usize, processor: usize, id: u128) {
    let (high, low) = halves(id);
    probe!(galo, payment__settled, shard, processor, high, low);
}

/// A processor has refused the payment, and does not have it.
#[inline(always)]
pub(crate) fn payment_refused(shard: usize, processor: usize, id: u128) {
    let (high, low) = halves(id);
    probe!(galo, payment__refused, shard, processor, high, low);
}

/// A part of a snapshot is written, on a thread for jobs.
#[inline(always)]
pub(crate) fn snapshot_slice(shard: u32, bytes: usize) {
    probe!(galo, snapshot__slice, shard, bytes);
}
