//! Configuration and registry files: raw text to checked values.
