"""Generated protobuf code of lianfang.v1; never edited by hand."""
