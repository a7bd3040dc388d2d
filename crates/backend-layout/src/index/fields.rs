//! A JSON object as its fields in the order of the text, with their values unread.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object; those with equal names are all kept.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    fields: Vec<(String, Value<'a>)>,
}

#[derive(Debug)]
enum Value<'a> {
    Kept(&'a RawValue),
    Made(String),
}

impl<'a> Fields<'a> {
    /// Reads the text of an object.
    pub(super) fn read(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Returns the text of a field's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.text())
    }

    /// Removes all fields of this name.
    pub(super) fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }

    /// Sets the text of a field's value; a field that is not there becomes the last.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = Value::Made(value),
            None => self.fields.push((name.to_owned(), Value::Made(value))),
        }
    }

    /// Tells whether there are no fields.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns the text of the object; the values that were not set are as they were.
    pub(super) fn write(&self) -> String {
        let mut text = String::from("{");
        for (number, (name, value)) in self.fields.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(value.text());
        }
        text.push('}');
        text
    }
}

impl Value<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Kept(raw) => raw.get(),
            Self::Made(text) => text,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, Value::Kept(value)));
                }
                Ok(Fields { fields })
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays_as_it_was_written() {
        let mut fields = Fields::read("{\"b\" : [1.50, 2] ,\"a\":{\"y\":1,\"x\":2},\"c\":null}").unwrap();
        assert_eq!(fields.get("a"), Some("{\"y\":1,\"x\":2}"));
        fields.set("c", "true".to_owned());
        fields.set("d\"", "\"new\"".to_owned());
        fields.remove("a");
        assert_eq!(fields.write(), "{\"b\":[1.50, 2],\"c\":true,\"d\\\"\":\"new\"}");
    }

    #[test]
    fn only_an_object_has_fields() {
        for text in ["[]", "1", "null", "\"x\"", "{\"a\"}", ""] {
            assert!(Fields::read(text).is_err(), "{text}");
        }
        assert!(Fields::read("{}").unwrap().is_empty());
    }
}
