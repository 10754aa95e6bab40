//! The rest of a payment after a failed attempt, before its processor gets it again: twice as long each time, from
//! `RETRY_NS_MIN` to `RETRY_NS_MAX`, less up to half of it. What is taken off is drawn from the payment's id and
//! the attempt's number: there is no chance in a node, and no two payments that went wrong together come again
//! together.

use super::PaymentId;
use crate::limits::{RETRY_NS_MAX, RETRY_NS_MIN};

/// From the end of a payment's attempt, the `attempts`-th (from 1), to the next. Nanoseconds.
pub fn rest_ns(id: PaymentId, attempts: u16) -> u64 {
    let doublings = u32::from(attempts.saturating_sub(1)).min(32);
    let most_ns = (RETRY_NS_MIN << doublings).min(RETRY_NS_MAX);
    let half_ns = most_ns / 2;
    let bits = mix(id.0 as u64 ^ mix((id.0 >> 64) as u64 ^ u64::from(attempts)));
    most_ns - ((u128::from(bits) * u128::from(half_ns)) >> 64) as u64
}

const _: () = assert!(RETRY_NS_MIN < u64::MAX >> 33 && RETRY_NS_MIN <= RETRY_NS_MAX);

/// The output function of splitmix64 (<https://prng.di.unimi.it/splitmix64.c>).
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_up_to_their_bound() {
        for number in 0..1000 {
            let id = PaymentId::made_of(number);
            let mut most_ns = RETRY_NS_MIN;
            for attempts in 1..=100 {
                let rest_ns = rest_ns(id, attempts);
                assert!(
                    (most_ns / 2..=most_ns).contains(&rest_ns),
                    "{attempts}: {rest_ns}"
                );
                most_ns = (2 * most_ns).min(RETRY_NS_MAX);
            }
            assert!(rest_ns(id, u16::MAX) <= RETRY_NS_MAX);
            assert!(rest_ns(id, 0) <= RETRY_NS_MIN);
        }
    }

    #[test]
    fn who_went_wrong_together_comes_again_apart() {
        for attempts in [1, 5, 20] {
            let rests = (0..1000).map(|number| rest_ns(PaymentId::made_of(number), attempts));
            let mut rests: Vec<u64> = rests.collect();
            rests.sort_unstable();
            let (least_ns, most_ns) = (rests[0], rests[999]);
            // Over the whole half, and evenly.
            assert!(most_ns - least_ns > most_ns * 48 / 100);
            for tenth in rests.chunks(100) {
                let part_ns = tenth[99] - tenth[0];
                assert!(part_ns < (most_ns - least_ns) / 6, "{attempts}: {part_ns}");
            }
        }
    }
}
