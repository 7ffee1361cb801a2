use super::*;
use crate::field::Fields;
use serde_json::json;

struct Eyes {
    detector: Detector,
    masker: Masker,
    fields: Fields,
    types: Vec<(DataType, Operator)>,
}

fn eyes(tags: &[&str], types: &[DataType]) -> Eyes {
    Eyes {
        detector: Detector::new(),
        masker: Masker::new([7; 32]),
        fields: Fields::new(tags.iter().copied()).unwrap(),
        types: types.iter().map(|t| (*t, Operator::Redact)).collect(),
    }
}

impl Eyes {
    fn veil(&self) -> Veil<'_> {
        Veil { detector: &self.detector, masker: &self.masker, types: &self.types }
    }

    fn hidden(&self, kind: &str) -> Vec<Hidden<'_>> {
        let kind = kind.to_owned();
        let all = self.fields.of(Box::leak(kind.into_boxed_str()));
        all.map(|field| Hidden { field, operator: &Operator::Redact, label: "secret" }).collect()
    }

    fn seen(&self, kind: &str, mut object: Value) -> Value {
        self.veil().object(&mut object, kind, &self.hidden(kind));
        object
    }
}

const PASSWORD: &str = "aHVudGVyMg=="; // hunter2

#[test]
fn a_secret_stays_one_without_its_values() {
    let applied = json!({"kind": "Secret", "data": {"p": PASSWORD}, "stringData": {"q": "hunter2"}}).to_string();
    let seen = eyes(&[], &[]).seen(
        "secrets",
        json!({
            "kind": "Secret", "type": "Opaque", "data": {"p": PASSWORD, "empty": ""},
            "metadata": {
                "name": "s",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
                "managedFields": [{"fieldsV1": {"f:data": {"f:p": {}, "v:\"hunter2\"": {}}}}],
            },
        }),
    );
    let text = seen.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("hunter2"), "{text}");
    assert_eq!(seen["data"]["p"], BASE64_STANDARD.encode("[secret]"));
    assert_eq!(seen["metadata"]["name"], "s");
    assert_eq!(seen["metadata"]["managedFields"][0]["fieldsV1"]["f:data"], json!({"f:p": {}}));
    let applied = &seen["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let applied: Value = serde_json::from_str(applied.as_str().unwrap()).unwrap();
    assert_eq!(applied["stringData"]["q"], "[secret]");
}

#[test]
fn what_was_applied_and_cannot_be_read_is_hidden_whole() {
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "data: {p: aHVudGVyMg==}"});
    let seen = eyes(&[], &[]).seen("secrets", json!({"metadata": {"annotations": annotations}}));
    assert!(!seen.to_string().contains(PASSWORD));
}

#[test]
fn fields_keep_their_types() {
    let eyes = eyes(&["customers.example.com:$.spec.person"], &[]);
    let object =
        json!({"spec": {"person": {"ssn": "1", "age": 41, "vip": true, "x": null, "l": [1.5, "a"]}, "open": 1}});
    let seen = eyes.seen("customers.example.com", object.clone());
    let person = json!({"ssn": "[secret]", "age": 0, "vip": false, "x": null, "l": [0, "[secret]"]});
    assert_eq!(seen["spec"], json!({"person": person, "open": 1}));
    assert_eq!(eyes.seen("others.example.com", object.clone()), object);
}

#[test]
fn recognizers_see_through_json() {
    let eyes = eyes(&[], &[DataType::CreditCard, DataType::UsSsn, DataType::Email]);
    let object: Value = serde_json::from_str(
        r#"{"a":"card 4111\u0031111 11111111, 4111 1111 1111 1111","n":4111111111111111,"ssn":"078051120",
            "b":"NDExMTExMTExMTExMTExMQ==","jo@example.com":1,"plain":"x","m":41}"#,
    )
    .unwrap();
    let seen = eyes.seen("configmaps", object);
    let text = seen.to_string();
    assert!(!text.contains("1111 1111 1111") && !text.contains("078051120") && !text.contains("jo@"), "{text}");
    assert_eq!((&seen["n"], &seen["m"], &seen["plain"]), (&json!(0), &json!(41), &json!("x")));
    assert_eq!(seen["b"], BASE64_STANDARD.encode("[credit_card]"));
    let mut clean = json!({"a": "b", "n": 1});
    assert!(!eyes.veil().object(&mut clean, "configmaps", &[]));
}

#[test]
fn masks_are_not_written_back() {
    let eyes = eyes(&["c.example.com:$.spec.ssn"], &[]);
    let (veil, hidden) = (eyes.veil(), eyes.hidden("secrets"));
    let before = json!({"data": {"p": PASSWORD, "q": "YQ=="}});
    let masked = BASE64_STANDARD.encode("[secret]");
    assert!(veil.loses(&before, &json!({"data": {"p": masked, "q": "YQ=="}}), "secrets", &hidden));
    assert!(!veil.loses(&before, &json!({"data": {"p": PASSWORD, "q": "Yg=="}}), "secrets", &hidden));
    assert!(!veil.loses(&before, &json!({"data": {}}), "secrets", &hidden));
    let of = eyes.hidden("c.example.com");
    let spec = |ssn: &str| json!({"spec": {"ssn": ssn}});
    assert!(veil.loses(&spec("078-05-1120"), &spec("[secret]"), "c.example.com", &of));
}

#[test]
fn errors_tell_no_values() {
    let eyes = eyes(&[], &[]);
    let values = hidden_values(&json!({"data": {"p": PASSWORD}}), &eyes.hidden("secrets"));
    assert_eq!(values, [PASSWORD, "hunter2"]);
    let mut status = json!({"kind": "Status", "message": "Invalid value: \"hunter2\"", "details": {"name": "s"}});
    assert!(eyes.veil().tales(&mut status, &values));
    assert_eq!(status["details"]["name"], "s");
    assert!(!status.to_string().contains("hunter2"));
}
