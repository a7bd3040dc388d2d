//! Results that are written one by one, as they come.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use super::{Format, Printer};
use crate::failure::Failure;

/// A list on standard output: a line for each item, or one JSON object in which they are the elements of an array.
///
/// Nothing is kept. A list that ends in an error has no end in JSON either, so that nobody takes it for the whole.
#[derive(Debug)]
pub(crate) struct List {
    format: Format,
    output: BufWriter<Stdout>,
    items: u64,
}

impl List {
    /// Begins a list; in JSON, these fields stand before it.
    pub(super) fn begin(printer: Printer, fields: &[(&str, String)], name: &str) -> Result<Self, Failure> {
        let mut list = Self { format: printer.format(), output: BufWriter::new(io::stdout()), items: 0 };
        if list.format == Format::Json {
            let mut text = String::from("{\n");
            for (field, value) in fields {
                text += &format!("  {}: {},\n", json(field)?, json(value)?);
            }
            text += &format!("  {}: [", json(name)?);
            list.write(&text)?;
        }
        Ok(list)
    }

    /// Writes an item; people see it at once.
    pub(crate) fn item<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let line = match self.format {
            Format::Text => text(value) + "\n",
            Format::Json => {
                let comma = if self.items == 0 { "" } else { "," };
                format!("{comma}\n    {}", json(value)?)
            }
        };
        self.items += 1;
        self.write(&line)?;
        self.output.flush().map_err(Failure::output)
    }

    /// Ends the list, and returns how many items it has.
    pub(crate) fn end(mut self) -> Result<u64, Failure> {
        if self.format == Format::Json {
            let newline = if self.items == 0 { "" } else { "\n  " };
            self.write(&format!("{newline}]\n}}\n"))?;
        }
        self.output.flush().map_err(Failure::output)?;
        Ok(self.items)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.output.write_all(text.as_bytes()).map_err(Failure::output)
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::output(error.into()))
}
