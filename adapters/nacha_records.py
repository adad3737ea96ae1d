"""The records of a NACHA file: which field stands in which columns (Nacha Operating Rules, appendix three).

Columns count from 1 and both are inside, as in the rules. A mark `9` after them says that the field holds digits alone;
what is not in its form refuses its batch.
"""

from typing import NamedTuple


class Column(NamedTuple):
    """One field of a record."""

    name: str
    first: int
    last: int
    digits: bool = False


Layout = tuple[Column, ...]


def _layout(text: str) -> Layout:
    """Read a table of `name first-last`, with ` 9` behind where only digits may stand."""
    found = []
    for line in filter(str.strip, text.splitlines()):
        name, columns, *marks = line.split()
        first, _, last = columns.partition("-")
        found.append(Column(name, int(first), int(last or first), bool(marks)))
    return tuple(found)


FILE_HEADER = _layout("""
    priority 2-3
    immediate_destination 4-13
    immediate_origin 14-23
    file_date 24-29
    file_time 30-33
    file_id_modifier 34
    destination_name 41-63
    origin_name 64-86
    reference_code 87-94
""")
FILE_CONTROL = _layout("""
    batch_count 2-7 9
    entry_addenda_count 14-21 9
    entry_hash 22-31 9
    total_debit 32-43 9
    total_credit 44-55 9
""")
FILE_CONTROL_ADV = _layout("""
    batch_count 2-7 9
    entry_addenda_count 14-21 9
    entry_hash 22-31 9
    total_debit 32-51 9
    total_credit 52-71 9
""")
BATCH_HEADER = _layout("""
    service_class 2-4 9
    company_name 5-20
    discretionary_data 21-40
    company_id 41-50
    entry_class 51-53
    entry_description 54-63
    descriptive_date 64-69
    effective_date 70-75
    settlement_day 76-78
    originator_status 79
    originating_bank 80-87
    batch_number 88-94
""")
BATCH_HEADER_IAT = _layout("""
    service_class 2-4 9
    iat_indicator 5-20
    exchange_indicator 21-22
    exchange_reference_kind 23
    exchange_reference 24-38
    destination_country 39-40
    company_id 41-50
    entry_class 51-53
    entry_description 54-63
    originating_currency 64-66
    destination_currency 67-69
    effective_date 70-75
    settlement_day 76-78
    originator_status 79
    originating_bank 80-87
    batch_number 88-94
""")
BATCH_CONTROL = _layout("""
    service_class 2-4 9
    entry_addenda_count 5-10 9
    entry_hash 11-20 9
    total_debit 21-32 9
    total_credit 33-44 9
    company_id 45-54
    originating_bank 80-87
    batch_number 88-94
""")
BATCH_CONTROL_ADV = _layout("""
    service_class 2-4 9
    entry_addenda_count 5-10 9
    entry_hash 11-20 9
    total_debit 21-40 9
    total_credit 41-60 9
    operator_data 61-79
    originating_bank 80-87
    batch_number 88-94
""")

_ENTRY_BEGIN = """
    transaction_code 2-3 9
    receiving_bank 4-11 9
    check_digit 12
"""
ENTRY = _layout(f"""{_ENTRY_BEGIN}
    account 13-29
    amount 30-39 9
    individual_id 40-54
    name 55-76
    discretionary_data 77-78
    addenda_indicator 79
    trace_number 80-94
""")
ENTRIES: dict[str, Layout] = {
    "CTX": _layout(f"""{_ENTRY_BEGIN}
    account 13-29
    amount 30-39 9
    individual_id 40-54
    addenda_count 55-58
    name 59-74
    discretionary_data 77-78
    addenda_indicator 79
    trace_number 80-94
"""),
    "SHR": _layout(f"""{_ENTRY_BEGIN}
    account 13-29
    amount 30-39 9
    card_expiry 40-43
    document_reference 44-54
    card 55-76
    card_transaction_type 77-78
    addenda_indicator 79
    trace_number 80-94
"""),
    "IAT": _layout(f"""{_ENTRY_BEGIN}
    addenda_count 13-16
    amount 30-39 9
    account 40-74
    screening 77
    secondary_screening 78
    addenda_indicator 79
    trace_number 80-94
"""),
    "ADV": _layout(f"""{_ENTRY_BEGIN}
    account 13-27
    amount 28-39 9
    advice_bank 40-48
    file_identification 49-53
    operator_data 54
    name 55-76
    discretionary_data 77-78
    addenda_indicator 79
    operator 80-87
    julian_day 88-90
    trace_number 91-94
"""),
}
"""By the batch's class of entries, where it has a form of its own."""

ADDENDA: dict[str, Layout] = {
    "02": _layout("""
    reference_1 4-10
    reference_2 11-13
    terminal 14-19
    transaction_serial 20-25
    transaction_date 26-29
    authorization 30-35
    terminal_location 36-62
    terminal_city 63-77
    terminal_state 78-79
    trace_number 80-94
"""),
    "05": _layout("""
    information 4-83
    sequence 84-87
"""),
    "10": _layout("""
    transaction_type 4-6
    foreign_amount 7-24
    foreign_trace 25-46
    name 47-81
"""),
    "11": _layout("originator_name 4-38\n originator_street 39-73"),
    "12": _layout("originator_city 4-38\n originator_country 39-73"),
    "13": _layout("originating_bank_name 4-38\n bank_id_kind 39-40\n bank_id 41-74\n bank_country 75-77"),
    "14": _layout("receiving_bank_name 4-38\n bank_id_kind 39-40\n bank_id 41-74\n bank_country 75-77"),
    "15": _layout("receiver_id 4-18\n receiver_street 19-53"),
    "16": _layout("receiver_city 4-38\n receiver_country 39-73"),
    "17": _layout("information 4-83\n sequence 84-87"),
    "18": _layout("bank_name 4-38\n bank_id_kind 39-40\n bank_id 41-74\n bank_country 75-77"),
    "98": _layout("""
    change_code 4-6
    original_trace 7-21
    original_bank 28-35
    corrected_data 36-64
    trace_number 80-94
"""),
    "99": _layout("""
    return_reason 4-6
    original_trace 7-21
    date_of_death 22-27
    original_bank 28-35
    information 36-79
    trace_number 80-94
"""),
}
"""By their type."""
