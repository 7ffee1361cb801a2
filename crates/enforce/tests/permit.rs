//! A permit cannot be made, copied or used twice: these programs must not compile.
#[test]
fn permits_cannot_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/permit/*.rs");
}
