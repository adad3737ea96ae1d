"""Generated protobuf code of lianfang.audit.v1; never edited by hand."""
