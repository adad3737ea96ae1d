"""Names of the fields of call records, by their tags (3GPP TS 32.298, modules CSChargingDataTypes and GenericChargingDataTypes).

Every record of the module is a SET with automatic tags from 0, so a list of names is its tag table; `-` is a tag that is
not in use. A kind behind the name says how its bytes become text; without one they stay hexadecimal.
"""

from typing import NamedTuple


class Field(NamedTuple):
    """A field of a record."""

    name: str
    kind: str = "hex"


Fields = dict[int, Field]


def _fields(text: str) -> Fields:
    """Read a list of `name:kind`, in the order of their tags."""
    found = {}
    for tag, word in enumerate(text.split()):
        name, _, kind = word.partition(":")
        if name != "-":
            found[tag] = Field(name, kind or "hex")
    return found


_ROUTING = """locationRoutNum lrnSoInd:integer lrnQuryStatus:integer jIPPara jIPSoInd:integer jIPQuryStatus:integer"""
_TRUNKS = "mscIncomingTKGP:trunk mscOutgoingTKGP:trunk"
_TIMES = "seizureTime:time answerTime:time releaseTime:time callDuration:integer"

MO_CALL = _fields(f"""
    recordType:integer servedIMSI:tbcd servedIMEI:tbcd servedMSISDN:number callingNumber:number calledNumber:number
    translatedNumber:number connectedNumber:number roamingNumber:number recordingEntity:number {_TRUNKS}
    location:location changeOfLocation:changes basicService:service transparencyIndicator:integer changeOfService
    supplServicesUsed:supplementary aocParameters changeOfAOCParms msClassmark changeOfClassmark {_TIMES}
    dataVolume:integer radioChanRequested:integer radioChanUsed:integer changeOfRadioChan causeForTerm:integer
    diagnostics:diagnostics callReference sequenceNumber:integer additionalChgInfo recordExtensions gsm-SCFAddress:number
    serviceKey:integer networkCallReference mSCAddress:number cAMELInitCFIndicator:integer defaultCallHandling:integer
    hSCSDChanRequested:integer hSCSDChanAllocated:integer changeOfHSCSDParms fnur:integer aiurRequested:integer
    chanCodingsAcceptable chanCodingUsed:integer speechVersionSupported speechVersionUsed numberOfDPEncountered:integer
    levelOfCAMELService freeFormatData cAMELCallLegInformation freeFormatDataAppend:integer defaultCallHandling-2:integer
    gsm-SCFAddress-2:number serviceKey-2:integer freeFormatData-2 freeFormatDataAppend-2:integer systemType:integer
    rateIndication {_ROUTING} partialRecordType:integer guaranteedBitRate:integer maximumBitRate:integer redial:integer
    reasonForServiceChange:integer serviceChangeInitiator:integer iCSI2ActiveFlag iMS-Charging-Identifier
    privateUserID:string
""")
MT_CALL = _fields(f"""
    recordType:integer servedIMSI:tbcd servedIMEI:tbcd servedMSISDN:number callingNumber:number connectedNumber:number
    recordingEntity:number {_TRUNKS} location:location changeOfLocation:changes basicService:service
    transparencyIndicator:integer changeOfService supplServicesUsed:supplementary aocParameters changeOfAOCParms
    msClassmark changeOfClassmark {_TIMES} dataVolume:integer radioChanRequested:integer radioChanUsed:integer
    changeOfRadioChan causeForTerm:integer diagnostics:diagnostics callReference sequenceNumber:integer additionalChgInfo
    recordExtensions networkCallReference mSCAddress:number hSCSDChanRequested:integer hSCSDChanAllocated:integer
    changeOfHSCSDParms fnur:integer aiurRequested:integer chanCodingsAcceptable chanCodingUsed:integer
    speechVersionSupported speechVersionUsed gsm-SCFAddress:number serviceKey:integer systemType:integer rateIndication
    {_ROUTING} partialRecordType:integer guaranteedBitRate:integer maximumBitRate:integer reasonForServiceChange:integer
    serviceChangeInitiator:integer iCSI2ActiveFlag iMS-Charging-Identifier privateUserID:string
""")
ROAMING = _fields(f"""
    recordType:integer servedIMSI:tbcd servedMSISDN:number callingNumber:number roamingNumber:number
    recordingEntity:number {_TRUNKS} basicService:service transparencyIndicator:integer changeOfService
    supplServicesUsed:supplementary {_TIMES} dataVolume:integer causeForTerm:integer diagnostics:diagnostics callReference
    sequenceNumber:integer recordExtensions networkCallReference mSCAddress:number {_ROUTING} partialRecordType:integer
""")
GATEWAY = _fields(f"""
    recordType:integer callingNumber:number calledNumber:number recordingEntity:number {_TRUNKS} {_TIMES}
    dataVolume:integer causeForTerm:integer diagnostics:diagnostics callReference sequenceNumber:integer recordExtensions
    {_ROUTING} reasonForServiceChange:integer serviceChangeInitiator:integer
""")
TRANSIT = _fields(f"""
    recordType:integer recordingEntity:number {_TRUNKS} callingNumber:number calledNumber:number isdnBasicService:integer
    seizureTimestamp:time answerTimestamp:time releaseTimestamp:time callDuration:integer dataVolume:integer
    causeForTerm:integer diagnostics:diagnostics callReference sequenceNumber:integer recordExtensions {_ROUTING}
""")
MO_SMS = _fields("""
    recordType:integer servedIMSI:tbcd servedIMEI:tbcd servedMSISDN:number msClassmark serviceCentre:number
    recordingEntity:number location:location messageReference originationTime:time smsResult:diagnostics recordExtensions
    destinationNumber:number cAMELSMSInformation systemType:integer locationExtension
""")
MT_SMS = _fields("""
    recordType:integer serviceCentre:number servedIMSI:tbcd servedIMEI:tbcd servedMSISDN:number msClassmark
    recordingEntity:number location:location deliveryTime:time smsResult:diagnostics recordExtensions systemType:integer
    cAMELSMSInformation locationExtension
""")
MT_ROAMING_FORWARDING = _fields(f"""
    recordType:integer servedIMSI:tbcd servedIMEI:tbcd servedMSISDN:number callingNumber:number roamingNumber:number
    recordingEntity:number {_TRUNKS} basicService:service {_TIMES} causeForTerm:integer diagnostics:diagnostics
    callReference sequenceNumber:integer recordExtensions partialRecordType:integer
""")

RECORDS: dict[int, tuple[str, Fields]] = {
    0: ("moCallRecord", MO_CALL),
    1: ("mtCallRecord", MT_CALL),
    2: ("roamingRecord", ROAMING),
    3: ("incGatewayRecord", GATEWAY),
    4: ("outGatewayRecord", GATEWAY),
    5: ("transitRecord", TRANSIT),
    6: ("moSMSRecord", MO_SMS),
    7: ("mtSMSRecord", MT_SMS),
    8: ("moSMSIWRecord", {}),
    9: ("mtSMSGWRecord", {}),
    10: ("ssActionRecord", {}),
    11: ("hlrIntRecord", {}),
    12: ("locUpdateHLRRecord", {}),
    13: ("locUpdateVLRRecord", {}),
    14: ("commonEquipRecord", {}),
    15: ("recTypeExtensions", {}),
    16: ("termCAMELRecord", {}),
    17: ("mtLCSRecord", {}),
    18: ("moLCSRecord", {}),
    19: ("niLCSRecord", {}),
    20: ("mSCsRVCCRecord", {}),
    21: ("mMTRFRecord", MT_ROAMING_FORWARDING),
    22: ("iCSRegisterRecord", {}),
}
"""Kinds of records by their tag (CSRecord). Those without fields tell of no call; their bytes stay hexadecimal."""

GROUPS: dict[str, Fields] = {
    "location": _fields("locationAreaCode cellId mCC-MNC:plmn"),
    "trunk": _fields("tkgpNumber:integer tkgpName:string"),
    "service": _fields("- - bearerService teleservice"),
    "change": _fields("location:location changeTime:time"),
    "supplementary-one": _fields("ssCode ssTime:time"),
    "diagnostics": _fields(
        "gsm0408Cause:integer gsm0902MapErrorValue:integer itu-tQ767Cause:integer networkSpecificCause"
        " manufacturerSpecificCause positionMethodFailureCause:integer unauthorizedLCSClientCause:integer"
        " diameterResultCodeAndExperimentalResult:integer"
    ),
}
"""What stands inside fields of these kinds."""

LISTS = {"changes": ("change", "change"), "supplementary": ("supplementary-one", "used")}
"""Kinds that are lists: the kind of one element, and what it is called."""
