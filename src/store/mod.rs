//! The ledger's engine: a fdatasync'd journal that is the log, sled as the index, one writer.
