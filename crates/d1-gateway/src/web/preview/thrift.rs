//! A reader of Thrift's compact protocol, as far as Parquet needs it. Nothing is allocated for a length that data claim.
//!
//! Source: `doc/specs/thrift-compact-protocol.md` of apache/thrift.

/// Bytes that do not follow the protocol, or not the expected document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A truth value. That of a field is in the field's head; that of a list's item takes a byte.
    Truth(Option<bool>),
    /// An integer of any width.
    Int,
    Double,
    Binary,
    List,
    Map,
    Structure,
    Uuid,
}

impl Value {
    fn of(number: u8, is_item: bool) -> Result<Self, Fault> {
        Ok(match number {
            1 | 2 if is_item => Self::Truth(None),
            1 | 2 => Self::Truth(Some(number == 1)),
            3..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            // A set is stored as a list.
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Structure,
            13 => Self::Uuid,
            _ => return Err(Fault),
        })
    }

    /// Refuses every type but the expected one.
    pub(super) fn must_be(self, expected: Self) -> Result<(), Fault> {
        if self == expected { Ok(()) } else { Err(Fault) }
    }
}

/// The head of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) number: i16,
    pub(super) value: Value,
}

/// How deep structures and lists may lie in each other.
const DEEPEST: usize = 32;

/// Reads values one after the other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    /// Reads a structure. `read` must read or skip the value of the field that it gets.
    pub(super) fn structure(
        &mut self,
        mut read: impl FnMut(&mut Self, Field) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.deeper(|reader| {
            let mut number: i16 = 0;
            loop {
                let head = reader.byte()?;
                if head == 0 {
                    return Ok(());
                }
                number = match head >> 4 {
                    0 => i16::try_from(reader.signed()?).map_err(|_| Fault)?,
                    step => number.checked_add(step.into()).ok_or(Fault)?,
                };
                read(reader, Field { number, value: Value::of(head & 15, false)? })?;
            }
        })
    }

    /// Reads a list. `read` must read or skip an item of the type that it gets. Each item takes at least a byte.
    pub(super) fn list(
        &mut self,
        field: Field,
        mut read: impl FnMut(&mut Self, Value) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        field.value.must_be(Value::List)?;
        self.deeper(|reader| {
            let head = reader.byte()?;
            let items = match head >> 4 {
                15 => reader.unsigned()?,
                few => few.into(),
            };
            let item = Value::of(head & 15, true)?;
            if items > reader.rest.len() as u64 {
                return Err(Fault);
            }
            for _ in 0..items {
                read(reader, item)?;
            }
            Ok(())
        })
    }

    pub(super) fn int(&mut self, field: Field) -> Result<i64, Fault> {
        field.value.must_be(Value::Int)?;
        self.signed()
    }

    pub(super) fn binary(&mut self, field: Field) -> Result<&'a [u8], Fault> {
        field.value.must_be(Value::Binary)?;
        let length = self.unsigned()?;
        self.take(length)
    }

    /// Skips the value of a field.
    pub(super) fn skip(&mut self, field: Field) -> Result<(), Fault> {
        self.skip_value(field.value)
    }

    fn skip_value(&mut self, value: Value) -> Result<(), Fault> {
        match value {
            Value::Truth(Some(_)) => Ok(()),
            Value::Truth(None) => self.take(1).map(|_| ()),
            Value::Int => self.unsigned().map(|_| ()),
            Value::Double => self.take(8).map(|_| ()),
            Value::Uuid => self.take(16).map(|_| ()),
            Value::Binary => {
                let length = self.unsigned()?;
                self.take(length).map(|_| ())
            }
            Value::List => self.list(Field { number: 0, value }, Self::skip_value),
            Value::Structure => self.structure(|reader, field| reader.skip_value(field.value)),
            Value::Map => self.deeper(|reader| {
                let pairs = reader.unsigned()?;
                if pairs == 0 {
                    return Ok(());
                }
                let kinds = reader.byte()?;
                let (key, value) = (Value::of(kinds >> 4, true)?, Value::of(kinds & 15, true)?);
                if pairs > reader.rest.len() as u64 {
                    return Err(Fault);
                }
                for _ in 0..pairs {
                    reader.skip_value(key)?;
                    reader.skip_value(value)?;
                }
                Ok(())
            }),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= DEEPEST {
            return Err(Fault);
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Fault)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(length).map_err(|_| Fault)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a number of seven bits a byte, the least first.
    fn unsigned(&mut self) -> Result<u64, Fault> {
        let mut number: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault)
    }

    /// Reads a number in zigzag form: 0, -1, 1, -2.
    fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}
