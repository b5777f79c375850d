"""Stage one: a language model learns every code's definition, and every definition's code."""

from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from memorize.code_sets.code_set import CodeSet, ontology_codes, task_codes

__all__ = ["CodeSet", "ontology_codes", "task_codes"]
__getattr__ = lazy_exports(
    __name__,
    {
        "CodeSet": "memorize.code_sets.code_set",
        "ontology_codes": "memorize.code_sets.code_set",
        "task_codes": "memorize.code_sets.code_set",
    },
)
