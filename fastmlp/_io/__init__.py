"""Reading and writing files: nets, arrays in the safetensors format, tables and their columns."""
