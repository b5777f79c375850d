"""The CDC's XML files of ICD-10-CM of one year, and the terms in them."""
