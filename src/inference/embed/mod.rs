//! Texts to vectors: what is close in meaning is close in space.
