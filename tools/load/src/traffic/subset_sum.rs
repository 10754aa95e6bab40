//! Whether some of a list of amounts add up to a sum.

/// Of all amounts together, so that the table of sums stays small: 2 MiB.
pub const MAGNITUDE_MAX: u128 = 1 << 24;

/// Whether a choice among `amounts`, which may be none or all of them, adds up to `sum`: exactly. `None`: together they are
/// larger than [`MAGNITUDE_MAX`].
pub fn reaches(amounts: &[i64], sum: i128) -> Option<bool> {
    let magnitudes = amounts.iter().map(|amount| amount.unsigned_abs());
    let largest: u128 = magnitudes.clone().map(u128::from).sum();
    if largest > MAGNITUDE_MAX {
        return None;
    }
    // To leave out a negative amount is to add its magnitude to the sum of all negative ones: then only positive numbers
    // are to be chosen from.
    let negative: i128 = amounts
        .iter()
        .map(|amount| i128::from(*amount.min(&0)))
        .sum();
    let Ok(wanted) = u128::try_from(sum - negative) else {
        return Some(false);
    };
    if wanted > largest {
        return Some(false);
    }
    // Bit n: n is the sum of some of the magnitudes so far.
    let wanted = wanted as usize;
    let mut sums = vec![0_u64; wanted / 64 + 1];
    sums[0] = 1;
    for magnitude in magnitudes {
        add(&mut sums, magnitude as usize);
    }
    Some(sums[wanted / 64] >> (wanted % 64) & 1 == 1)
}

/// `sums |= sums << magnitude`; bits beyond the end are lost.
fn add(sums: &mut [u64], magnitude: usize) {
    let (words, bits) = (magnitude / 64, magnitude % 64);
    // From the top, so that what is read has not been written yet.
    for to in (words..sums.len()).rev() {
        let from = to - words;
        let mut shifted = sums[from] << bits;
        if bits > 0 && from > 0 {
            shifted |= sums[from - 1] >> (64 - bits);
        }
        sums[to] |= shifted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn it_agrees_with_all_choices_one_by_one() {
        let mut random = Rng::with_seed(1);
        for round in 0..40 {
            let largest = [3, 40, 64, 700][round % 4];
            let count = random.usize(0..=8);
            let amounts: Vec<i64> = (0..count).map(|_| random.i64(-largest..=largest)).collect();
            let sum_of = |choice: u32| -> i64 {
                let chosen = amounts.iter().enumerate();
                let chosen = chosen.filter(|(at, _)| choice >> at & 1 == 1);
                chosen.map(|(_, amount)| amount).sum()
            };
            let mut sums: Vec<i64> = (0..1_u32 << count).map(sum_of).collect();
            sums.sort_unstable();
            for sum in -largest * 9..=largest * 9 {
                let expected = sums.binary_search(&sum).is_ok();
                let found = reaches(&amounts, sum.into());
                assert_eq!(found, Some(expected), "{amounts:?} to {sum}");
            }
        }
    }

    #[test]
    fn amounts_may_be_many_but_not_too_large() {
        // Even ones reach all even sums and no odd one.
        let amounts: Vec<i64> = (1..=500)
            .map(|number| if number % 3 == 0 { -2 } else { 2 } * number)
            .collect();
        for sum in [-1000, 0, 31_416] {
            assert_eq!(reaches(&amounts, sum), Some(true));
            assert_eq!(reaches(&amounts, sum + 1), Some(false));
        }
        assert_eq!(reaches(&amounts, i128::MAX / 2), Some(false));
        assert_eq!(reaches(&amounts, i128::MIN / 2), Some(false));
        let most = MAGNITUDE_MAX as i64;
        assert_eq!(reaches(&[most], most.into()), Some(true));
        assert_eq!(reaches(&[most, -1], 0), None);
        assert_eq!(reaches(&[i64::MIN, i64::MAX], 0), None);
    }
}
