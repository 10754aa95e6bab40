//! Amounts: integer cents, read from and written as decimals without a floating-point number between.

/// Reads a JSON number as it is written: positive, at most two decimals that are not zero, at most
/// [`AMOUNT_CENTS_MAX`](crate::limits::AMOUNT_CENTS_MAX). An exponent is a number's right, too.
pub fn parse(text: &str) -> Option<u64> {
    let _ = text;
    unimplemented!()
}

/// Appends cents as a decimal with two places: `19.90`.
pub fn write(out: &mut Vec<u8>, cents: u128) {
    let _ = (out, cents);
    unimplemented!()
}
