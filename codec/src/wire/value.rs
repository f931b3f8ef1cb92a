//! Trees of values from and to any serializer.

use super::{Items, Reader, Token, Writer};
use crate::error::{Expected, Fault, Unrepresentable};
use crate::value::{Dict, Value};

/// Reads a dict nested at most `levels` deep; entries whose value is null are left out: WAMP takes them for absent.
pub(crate) fn read_dict_without_nulls<'a>(
    reader: &mut impl Reader<'a>,
    levels: usize,
) -> Result<Dict, Fault> {
    let mut dict = Dict::new();
    let mut items = reader.dict()?;
    let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
    while let Some(key) = reader.key(&mut items)? {
        match read(reader, levels)? {
            Value::Null => {}
            value => dict.push((key.into_owned(), value)),
        }
    }
    Ok(dict)
}

/// Reads one value nested at most `levels` deep, its tags included. Dict keys must be text, extension types are refused.
pub(crate) fn read<'a>(reader: &mut impl Reader<'a>, levels: usize) -> Result<Value, Fault> {
    let levels = levels.checked_sub(reader.tags()).ok_or(Fault::TooDeep)?;
    match reader.token() {
        Ok(Token::Null) => Ok(Value::Null),
        Ok(Token::Bool(value)) => Ok(Value::Bool(value)),
        Ok(Token::Unsigned(value)) => Ok(Value::Integer(value.into())),
        Ok(Token::Negative(value)) => Ok(Value::Integer(-1 - i128::from(value))),
        Ok(Token::Float(value)) => Ok(Value::Float(value)),
        Ok(Token::Text(value)) => Ok(Value::String(value.into_owned())),
        Ok(Token::Binary(value)) => Ok(Value::Binary(value.into_owned())),
        Ok(Token::List(items)) => read_list(reader, items, levels).map(Value::List),
        Ok(Token::Dict(items)) => read_dict(reader, items, levels).map(Value::Dict),
        Ok(Token::Extension) => Err(Fault::Expected(Expected::Value)),
        Err(fault) => Err(fault),
    }
}

fn read_list<'a>(reader: &mut impl Reader<'a>, mut items: Items, levels: usize) -> Result<Vec<Value>, Fault> {
    let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
    let mut list = Vec::new();
    while reader.next(&mut items)? {
        list.push(read(reader, levels)?);
    }
    Ok(list)
}

fn read_dict<'a>(reader: &mut impl Reader<'a>, mut items: Items, levels: usize) -> Result<Dict, Fault> {
    let levels = levels.checked_sub(1).ok_or(Fault::TooDeep)?;
    let mut dict = Dict::new();
    while let Some(key) = reader.key(&mut items)? {
        dict.push((key.into_owned(), read(reader, levels)?));
    }
    Ok(dict)
}

/// Writes one value. What was written before an error stays.
pub(crate) fn write(writer: &mut impl Writer, value: &Value) -> Result<(), Unrepresentable> {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.boolean(*value),
        Value::Integer(value) => writer.integer(*value)?,
        Value::Float(value) => writer.float(*value)?,
        Value::String(value) => write_text(writer, value)?,
        Value::Binary(value) => writer.binary(value),
        Value::List(list) => write_list(writer, list)?,
        Value::Dict(dict) => write_dict(writer, dict)?,
    }
    Ok(())
}

/// Writes a list.
pub(crate) fn write_list(writer: &mut impl Writer, list: &[Value]) -> Result<(), Unrepresentable> {
    writer.list(list.len());
    list.iter().try_for_each(|value| write(writer, value))?;
    writer.end_list();
    Ok(())
}

/// Writes a dict.
pub(crate) fn write_dict(writer: &mut impl Writer, dict: &Dict) -> Result<(), Unrepresentable> {
    writer.dict(dict.len());
    for (key, value) in dict {
        writer.key(key);
        write(writer, value)?;
    }
    writer.end_dict();
    Ok(())
}

/// Writes text, unless it would be read as binary.
pub(crate) fn write_text<W: Writer>(writer: &mut W, text: &str) -> Result<(), Unrepresentable> {
    if W::NUL_IS_BINARY && text.starts_with('\0') {
        return Err(Unrepresentable::TextLikeBinary);
    }
    writer.text(text);
    Ok(())
}
