//! MessagePack (version 5: text and binary are distinct). Extension types pass between peers of this serializer only.

mod reader;
mod writer;

pub(crate) use reader::MessagePackReader;
pub(crate) use writer::MessagePackWriter;
