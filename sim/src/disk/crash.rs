//! What a crash leaves of a [`SimDisk`].

use std::collections::BTreeMap;

use super::{Change, Inode, SimDisk, State, MAKER};
use crate::sabotage::Sabotage;
use galo_testkit::Random;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed: the kernel still has everything, unless a sync failed.
    Process,
    /// The machine lost power.
    Power,
}

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

impl SimDisk {
    /// Ends every process, and perhaps the machine. Faults are gone afterwards, but for a full disk.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state();
        let state = &mut *state;
        for life in state.lives.values_mut() {
            life.events.killed = true;
        }
        state.lives.remove(&MAKER);
        state.locks.clear();
        let random = &mut state.random;
        let loses_all = state.sabotage == Some(Sabotage::KillLosesWrites);
        if crash == Crash::Power {
            let prefix = random.percent(50);
            let cut = random.index(state.pending.len() + 1);
            let kept_percent = *random.pick(&[0, 20, 50, 80, 100]);
            for (index, renaming) in state.pending.drain(..).enumerate() {
                let kept = if prefix {
                    index < cut
                } else {
                    random.percent(kept_percent)
                };
                if kept {
                    renaming.make_durable(&mut state.durable);
                }
            }
            state.live = state.durable.clone();
        }
        for inode in &mut state.inodes {
            if crash == Crash::Power {
                inode.durable = survivor(inode, random);
                inode.live = inode.durable.clone();
                inode.pending.clear();
                inode.doubtful = None;
                inode.falsely_clean = false;
            } else if let Some((_, dir)) = inode.doubtful.take() {
                state.doubted.insert(dir);
                drop_some(inode, random);
            } else if loses_all {
                inode.live = inode.durable.clone();
                inode.pending.clear();
            }
        }
        if crash == Crash::Power {
            state.doubted.clear();
        }
        forget_unnamed(state);
    }
}

impl SimDisk {
    /// Of each write that is not synced, the first half reaches the medium.
    pub fn tear(&self) {
        for inode in &mut self.state().inodes {
            for change in inode.pending.drain(..) {
                let change = match change {
                    Change::Write { at, mut bytes } => {
                        bytes.truncate(bytes.len() / 2);
                        Change::Write { at, bytes }
                    }
                    length => length,
                };
                change.apply(&mut inode.durable);
            }
        }
    }
}

/// A sync of this file failed: what the kernel makes of that once nobody has the file open.
pub(super) fn drop_some(inode: &mut Inode, random: &mut Random) {
    inode.durable = survivor(inode, random);
    // What ext4 does: it can still be read, and is called clean, so no sync writes it.
    inode.falsely_clean = random.percent(50);
    if !inode.falsely_clean {
        inode.live = inode.durable.clone();
    }
    inode.pending.clear();
}

/// Any state that the medium may be in.
fn survivor(inode: &Inode, random: &mut Random) -> Vec<u8> {
    let mut survivor = inode.durable.clone();
    let kept_percent = *random.pick(&[0, 10, 50, 90, 100]);
    let unit = *random.pick(&[SECTOR_BYTES, PAGE_BYTES, usize::MAX]);
    let cut = random
        .percent(40)
        .then(|| random.index(inode.pending.len() + 1));
    for (index, change) in inode.pending.iter().enumerate() {
        let whole = match cut {
            // In order, up to somewhere; the one that it stopped in may be torn.
            Some(cut) if index < cut => true,
            Some(cut) if index > cut => break,
            _ => false,
        };
        match change {
            Change::Write { at, bytes } if !whole && unit < usize::MAX => {
                let mut from = *at;
                while from < at + bytes.len() {
                    let to = ((from / unit + 1) * unit).min(at + bytes.len());
                    if random.percent(kept_percent) {
                        let bytes = bytes[from - at..to - at].to_vec();
                        Change::Write { at: from, bytes }.apply(&mut survivor);
                    }
                    from = to;
                }
            }
            change => {
                if whole || random.percent(kept_percent) {
                    change.apply(&mut survivor);
                }
            }
        }
    }
    // The length is written apart from the contents.
    let longer = inode.live.len().saturating_sub(survivor.len());
    let newer = survivor.len().saturating_sub(inode.durable.len());
    let length = match random.below(8) {
        0 => survivor.len() + random.index(longer + 1),
        1 => survivor.len() - random.index(newer + 1),
        _ => survivor.len(),
    };
    survivor.resize(length, 0);
    survivor
}

/// Drops files that have no name any more, and numbers the others anew.
fn forget_unnamed(state: &mut State) {
    let mut inodes = std::mem::take(&mut state.inodes);
    let mut numbers = BTreeMap::new();
    let pending = state.pending.iter_mut().flat_map(|r| &mut r.entries);
    let names = state.live.values_mut().chain(state.durable.values_mut());
    for inode in names.chain(pending.filter_map(|(_, inode)| inode.as_mut())) {
        let next = numbers.len();
        *inode = *numbers.entry(*inode).or_insert_with_key(|old| {
            state.inodes.push(std::mem::take(&mut inodes[*old]));
            next
        });
    }
}
