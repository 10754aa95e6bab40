//! What is said of payments afterwards: summaries, and whether they can be true.

use std::ops::Add;

use galo_processor::decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::payments::{Accepted, AMOUNT_CENTS};
use super::reply::{object, wrong_content, wrong_status, Object};
use crate::measure::{Failure, FailureKind};
use crate::report::{Verification, VerificationLine};

/// Of a processor, or of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payments.
    pub count: u64,
    /// Their sum.
    pub cents: u64,
}

impl Add for Totals {
    type Output = Totals;

    /// Saturating: what is as large as that is wrong anyway.
    fn add(self, other: Totals) -> Totals {
        Totals {
            count: self.count.saturating_add(other.count),
            cents: self.cents.saturating_add(other.cents),
        }
    }
}

/// What a backend says of its payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Carried out by the default processor.
    pub default: Totals,
    /// Carried out by the fallback processor.
    pub fallback: Totals,
}

impl Summary {
    /// Of what there is of each; none if there is not of both.
    pub fn of_both(totals: [Option<Totals>; 2]) -> Option<Summary> {
        let [default, fallback] = totals;
        Some(Summary {
            default: default?,
            fallback: fallback?,
        })
    }

    /// Of both.
    pub fn total(&self) -> Totals {
        self.default + self.fallback
    }
}

/// What a processor says of its payments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessorSummary {
    /// Payments and their sum.
    pub totals: Totals,
    /// `totalFee`, in whole currency units, not cents. It need not be a whole number of cents.
    pub fee: f64,
    /// `feePerTransaction`: the share of each amount, 0 to 1.
    pub fee_share: f64,
}

/// Reads a reply to `GET /payments-summary`: the contest's form, or the other one that is known, with
/// `payments_by_processor`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_summary(status: u16, body: &[u8]) -> Result<Summary, Failure> {
    if status != 200 {
        return Err(wrong_status(status, "200, as a summary's is"));
    }
    let body: SummaryBody<'_> = object(body)?;
    let (default, fallback) = match (body.default, body.fallback, body.payments_by_processor) {
        (Some(default), Some(fallback), _) => (default, fallback),
        (None, None, Some(Object(other))) => (other.default, other.fallback),
        _ => {
            let what = "default and fallback are not both there";
            return Err(Failure::new(FailureKind::WrongJson, what));
        }
    };
    Ok(Summary {
        default: default.0.read("default")?,
        fallback: fallback.0.read("fallback")?,
    })
}

/// Reads a reply to a processor's `GET /admin/payments-summary`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_processor_summary(status: u16, body: &[u8]) -> Result<ProcessorSummary, Failure> {
    if status != 200 {
        return Err(wrong_status(status, "200, as a processor's summary's is"));
    }
    let body: ProcessorBody<'_> = object(body)?;
    Ok(ProcessorSummary {
        totals: Totals {
            count: body.total_requests,
            cents: cents("totalAmount", body.total_amount)?,
        },
        fee: body.total_fee,
        fee_share: body.fee_per_transaction,
    })
}

/// Reads a reply to a processor's `GET /payments/{id}`: the payment's cents, if it is there.
///
/// # Errors
/// What is wrong with it.
pub fn parse_payment(id: Uuid, status: u16, body: &[u8]) -> Result<Option<u64>, Failure> {
    match status {
        200 => {}
        404 => return Ok(None),
        _ => return Err(wrong_status(status, "200 or 404, as a payment's is")),
    }
    let body: PaymentBody<'_> = object(body)?;
    if !body.correlation_id.eq_ignore_ascii_case(&id.to_string()) {
        let other = body.correlation_id;
        return Err(wrong_content(format!(
            "{id} was asked for, and {other} is told of"
        )));
    }
    cents("amount", body.amount).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    correlation_id: String,
    #[serde(borrow)]
    amount: &'a RawValue,
}

#[derive(Deserialize)]
struct SummaryBody<'a> {
    #[serde(borrow)]
    default: Option<Object<TotalsBody<'a>>>,
    #[serde(borrow)]
    fallback: Option<Object<TotalsBody<'a>>>,
    #[serde(borrow)]
    payments_by_processor: Option<Object<ByProcessor<'a>>>,
}

#[derive(Deserialize)]
struct ByProcessor<'a> {
    #[serde(borrow)]
    default: Object<TotalsBody<'a>>,
    #[serde(borrow)]
    fallback: Object<TotalsBody<'a>>,
}

#[derive(Deserialize)]
struct TotalsBody<'a> {
    #[serde(rename = "totalRequests", alias = "count")]
    count: u64,
    /// By its digits: it is exact, and a floating-point number is not.
    #[serde(borrow, rename = "totalAmount", alias = "total_amount")]
    amount: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProcessorBody<'a> {
    total_requests: u64,
    #[serde(borrow)]
    total_amount: &'a RawValue,
    total_fee: f64,
    fee_per_transaction: f64,
}

impl TotalsBody<'_> {
    fn read(&self, processor: &str) -> Result<Totals, Failure> {
        Ok(Totals {
            count: self.count,
            cents: cents(processor, self.amount)?,
        })
    }
}

/// So far from a whole number of cents a sum of binary floats may be: 59.699999999999996 is 59.70. It is no good way
/// to count money, and the contest takes it.
const CENTS_NOISE_MAX: f64 = 1e-3;
/// Up to it a float tells cents apart.
const CENTS_FLOAT_MAX: f64 = 1e13;

fn cents(name: &str, amount: &RawValue) -> Result<u64, Failure> {
    let text = amount.get();
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        let what = format!("{name}: {text} is no number");
        return Err(Failure::new(FailureKind::WrongJson, what));
    }
    let exact = decimal::parse(text, 2);
    let cents = exact.or_else(|| {
        let cents = text.parse::<f64>().ok()? * 100.0;
        let is_near = (0.0..CENTS_FLOAT_MAX).contains(&cents)
            && (cents - cents.round()).abs() < CENTS_NOISE_MAX;
        is_near.then(|| cents.round() as u64)
    });
    cents.ok_or_else(|| wrong_content(format!("{name}: {text} is no whole number of cents")))
}

/// Whether the summaries before the first payment and after the last one was carried out can be true, nobody else having
/// sent any: as many payments more as were accepted, over both processors, of [`AMOUNT_CENTS`] each.
pub fn judge_totals(before: Summary, after: Summary, accepted: Accepted) -> Verification {
    let (before, after) = (before.total(), after.total());
    let count = i128::from(after.count) - i128::from(before.count);
    let cents = i128::from(after.cents) - i128::from(before.cents);
    let least = i128::from(accepted.acknowledged);
    let largest = least + i128::from(accepted.unknown);
    let payments = VerificationLine {
        subject: "payments".to_owned(),
        expected: match accepted.unknown {
            0 => format!("{least}"),
            unknown => format!("{least} to {largest}: the outcome of {unknown} is unknown"),
        },
        found: format!("{count}"),
        wrong: if count < least {
            Some(format!("{} less than were accepted", least - count))
        } else if count > largest {
            Some(format!(
                "{} more than can have been accepted",
                count - largest
            ))
        } else {
            None
        },
    };
    let each = i128::from(AMOUNT_CENTS);
    let due = count * each;
    let amount = VerificationLine {
        subject: "amount".to_owned(),
        expected: format!("{}: {} for each of {count}", money(due), money(each)),
        found: money(cents),
        wrong: match cents - due {
            0 => None,
            more @ 1.. => Some(format!("{} more than so many payments make", money(more))),
            less => Some(format!("{} less than so many payments make", money(-less))),
        },
    };
    Verification {
        lines: vec![payments, amount],
    }
}

fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}", decimal::write(cents.unsigned_abs(), 2))
}

#[cfg(test)]
mod tests;
