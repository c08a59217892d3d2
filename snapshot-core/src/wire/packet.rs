//! Packets, and how to write and read them: a version, a verb, and the fields in a row.
//!
//! Context: AS-SAFE.

/// Changes whenever a message changes its meaning.
pub const VERSION: u8 = 9;

/// The length of every message.
pub const MESSAGE_BYTES: usize = 256;

/// One message, encoded.
pub type Packet = [u8; MESSAGE_BYTES];

/// A part of a message. [`super::fields`] has all.
pub(super) trait Field: Sized {
    /// Appends it to the packet.
    fn write(&self, writer: &mut Writer);

    /// Reads it; `None` past the end, and for bytes without a meaning.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// Writes fields one after the other into a packet.
pub(super) struct Writer {
    pub(super) packet: Packet,
    at: usize,
}

impl Writer {
    pub(super) fn new(verb: u8) -> Self {
        let mut writer = Self {
            packet: [0; MESSAGE_BYTES],
            at: 0,
        };
        writer.bytes(&[VERSION, verb]);
        writer
    }

    pub(super) fn put(&mut self, field: &impl Field) -> &mut Self {
        field.write(self);
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.at + bytes.len();
        if let Some(room) = self.packet.get_mut(self.at..end) {
            room.copy_from_slice(bytes);
            self.at = end;
        }
        self
    }
}

/// Reads fields; `None` past the end.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    pub(super) fn get<F: Field>(&mut self) -> Option<F> {
        F::read(self)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }
}

/// The verb after the version, and the rest; `None` for another version.
pub(super) fn open(packet: &Packet) -> Option<(u8, Reader<'_>)> {
    let [VERSION, verb, rest @ ..] = packet else {
        return None;
    };
    Some((*verb, Reader { rest }))
}
