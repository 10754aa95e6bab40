//! Properties of the transaction's body, over random input. What is checked is also a fuzz target.

#[path = "../fuzz/transaction.rs"]
mod transaction;

use proptest::prelude::*;
use proptest::sample::select;

/// Members right, wrong and strange, in any order and number.
fn members() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        4 => select(vec![r#""valor":1"#, r#""tipo":"c""#, r#""tipo":"d""#, r#""descricao":"oi""#])
            .prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|valor| format!("\"valor\":{valor}")),
        1 => any::<f64>().prop_map(|valor| format!("\"valor\":{valor:e}")),
        1 => "[a-z]{1,3}".prop_map(|tipo| format!("\"tipo\":\"{tipo}\"")),
        1 => ".{0,12}".prop_map(|text| {
            format!("\"descricao\":{}", serde_json::Value::from(text))
        }),
        1 => r#"(\\u[0-9a-f]{4}){1,3}"#.prop_map(|text| format!("\"descricao\":\"{text}\"")),
        1 => select(vec![r#""x":{"y":[1e999]}"#, r#""valor":null"#, r#""tipo":[]"#, r#""":"""#])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
}

proptest! {
    #[test]
    fn any_bytes_are_judged(body in prop::collection::vec(any::<u8>(), 0..80)) {
        transaction::check(&body);
    }

    #[test]
    fn objects_are_judged(body in members()) {
        transaction::check(body.as_bytes());
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
        transaction::check(&body);
    }
}

#[test]
fn the_seeds_of_the_fuzzer_are_judged() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/transaction");
    let mut judged = 0;
    for seed in std::fs::read_dir(seeds).expect("the seeds are in the repository") {
        transaction::check(&std::fs::read(seed.unwrap().path()).unwrap());
        judged += 1;
    }
    assert!(judged > 0);
}
