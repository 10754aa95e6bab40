//! Whether a shard knows what its journal says of payments.

use galo::payments::PaymentState;
use galo::payments::{PaymentId, Window};
use galo::shard::Shard;

use super::book::State;
use super::Book;
use crate::trace::Checked;
use crate::{require, violation};

impl Book {
    /// `recovered`: it has just been, so it knows of no outcome that is in no record.
    pub fn compare(&self, shard: &Shard, recovered: bool) -> Checked {
        let number = shard.identity().shard as usize;
        let payments = shard.payments();
        let (mut open, mut settled) = (0, [(0, 0); 2]);
        for known in self.of_shard(number) {
            let id = PaymentId(known.id.expect("it is of a shard"));
            let Ok(found) = payments.find(id) else {
                violation!("{id} cannot be read");
            };
            let state = found.map(|payment| payment.state);
            let same = match (known.state, state) {
                (State::None | State::Purged, None) => true,
                (State::Free, Some(PaymentState::Free)) => true,
                (
                    State::Bound { to, requested_us },
                    Some(PaymentState::Bound {
                        to: other,
                        requested_us: at_us,
                        in_doubt,
                    }),
                ) => to == other && requested_us == at_us && (in_doubt || !recovered),
                // It was refused for certain, which is in no record.
                (State::Bound { to, .. }, Some(PaymentState::Free)) => {
                    !recovered && (known.doubtful || !self.stored[to as usize].contains_key(&id.0))
                }
                (
                    State::Settled { by, requested_us },
                    Some(PaymentState::Processed {
                        by: other,
                        requested_us: at_us,
                    }),
                ) => (by, requested_us) == (other, at_us),
                _ => false,
            };
            require!(
                same && found.is_none_or(|payment| payment.cents == known.cents),
                "shard {number} has {found:?}, should be {known:?}, recovered: {recovered}"
            );
            match known.state {
                State::Free | State::Bound { .. } => open += 1,
                State::Settled { by, .. } => {
                    settled[by as usize].0 += 1;
                    settled[by as usize].1 += u128::from(known.cents);
                }
                State::None | State::Purged => {}
            }
        }
        require!(
            payments.open() == open,
            "shard {number} has {} open payments, should have {open}",
            payments.open()
        );
        let Ok(summary) = payments.summary(&Window::ALL) else {
            violation!("shard {number} cannot read its settled payments");
        };
        let found = summary.0.map(|totals| (totals.count, totals.cents));
        require!(
            found == settled,
            "shard {number} sums up {found:?}, should be {settled:?}"
        );
        Ok(())
    }
}
