//! Text as a contract: refused, or one that means the same when it is read again.
#![no_main]

use evenkeel::contract::Contract;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(contract) = Contract::parse(text) else { return };
    assert_eq!(contract.text, text);
    for limit in [contract.budget.macs, contract.budget.flash, contract.budget.ram].into_iter().flatten() {
        assert!(limit.resolve(1_000_000) <= 1_000_000_000_000_000);
    }
    assert_eq!(Contract::parse(&contract.text).expect("the same text"), contract);
});
