//! Properties of the payment's body and amount, over random input. What is checked of bodies is also a
//! fuzz target.

#[path = "../fuzz/payment.rs"]
mod payment;

use galo::limits::AMOUNT_CENTS_MAX;
use galo::payments::amount;
use proptest::prelude::*;
use proptest::sample::select;

/// Members right, wrong and strange, in any order and number.
fn members() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        4 => select(vec![
            r#""correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#,
            r#""correlationId":null"#,
            r#""amount":19.90"#,
            r#""amount":1e1"#,
        ])
        .prop_map(str::to_owned),
        1 => any::<[u32; 4]>().prop_map(|[a, b, c, d]| {
            let (b, c) = (b.to_be_bytes(), c.to_be_bytes());
            let [b0, b1, c0, c1] = [[b[0], b[1]], [b[2], b[3]], [c[0], c[1]], [c[2], c[3]]]
                .map(u16::from_be_bytes);
            format!("\"correlationId\":\"{a:08x}-{b0:04X}-{b1:04x}-{c0:04x}-{c1:04x}{d:08X}\"")
        }),
        2 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,4}0{0,9})?([eE][-+]?[0-9]{1,2})?"
            .prop_map(|number| format!("\"amount\":{number}")),
        1 => any::<f64>().prop_map(|number| format!("\"amount\":{number:e}")),
        1 => r#"(\\u[0-9a-f]{4}){1,3}"#.prop_map(|text| format!("\"correlationId\":\"{text}\"")),
        1 => select(vec![
            r#""x":{"y":[1e999]}"#,
            r#""amount":null"#,
            r#""amount":"1""#,
            r#""correlationId":[]"#,
            r#""correlation_id":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3""#,
            r#""id":null"#,
            r#""":"""#,
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

proptest! {
    #[test]
    fn any_bytes_are_judged(body in prop::collection::vec(any::<u8>(), 0..80)) {
        payment::check(&body);
    }

    #[test]
    fn objects_are_judged(body in members()) {
        payment::check(body.as_bytes());
    }

    #[test]
    fn objects_with_a_byte_changed_are_judged(
        body in members(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        payment::check(&body);
    }

    /// However an amount is written, it is the same.
    #[test]
    fn an_amount_may_be_written_in_many_ways(
        cents in 1..=AMOUNT_CENTS_MAX,
        zeros in 0_usize..40,
        shift in 0_usize..40,
    ) {
        let mut plain = Vec::new();
        amount::write(&mut plain, cents.into());
        let plain = String::from_utf8(plain).unwrap();
        let zeros = "0".repeat(zeros);
        let small = format!("{}{cents}", "0".repeat(shift));
        for text in [
            format!("{plain}{zeros}"),
            format!("{cents}e-2"),
            format!("{cents}{zeros}E-{}", zeros.len() + 2),
            format!("0.{small}{zeros}e{}", small.len() as i64 - 2),
        ] {
            prop_assert_eq!(amount::parse(&text), Some(cents), "{}", text);
        }
        // And a tenth of a cent more, or less, is none.
        prop_assert_eq!(amount::parse(&format!("{plain}1{zeros}")), None);
        prop_assert_eq!(amount::parse(&format!("{cents}e-3")).is_some(), cents % 10 == 0);
    }
}

#[test]
fn the_seeds_of_the_fuzzer_are_judged() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/payment");
    let mut judged = 0;
    for seed in std::fs::read_dir(seeds).expect("the seeds are in the repository") {
        payment::check(&std::fs::read(seed.unwrap().path()).unwrap());
        judged += 1;
    }
    assert!(judged > 0);
}
