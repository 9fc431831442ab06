"""What is read from files and written to them: nets, arrays in the safetensors format, tables and their columns."""
