"""Contains all the data models used in inputs/outputs"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .actor_type import ActorType
    from .api_key_identity import ApiKeyIdentity
    from .block import Block
    from .block_config_item_boolean import BlockConfigItemBoolean
    from .block_config_item_json import BlockConfigItemJson
    from .block_config_item_number import BlockConfigItemNumber
    from .block_config_item_prompt import BlockConfigItemPrompt
    from .block_config_item_select import BlockConfigItemSelect
    from .block_config_item_text_long import BlockConfigItemTextLong
    from .block_config_item_text_short import BlockConfigItemTextShort
    from .block_run_completed import BlockRunCompleted
    from .block_run_completed_data import BlockRunCompletedData
    from .block_run_failed import BlockRunFailed
    from .block_run_failed_data import BlockRunFailedData
    from .block_run_started import BlockRunStarted
    from .block_run_started_data import BlockRunStartedData
    from .block_state_updated import BlockStateUpdated
    from .block_state_updated_data import BlockStateUpdatedData
    from .delete_workflow_response import DeleteWorkflowResponse
    from .delete_workflow_revision_response import DeleteWorkflowRevisionResponse
    from .dependency import Dependency
    from .dimensions import Dimensions
    from .edge_ui import EdgeUi
    from .environment_config import EnvironmentConfig
    from .environment_deployment import EnvironmentDeployment
    from .environment_deployment_config import EnvironmentDeploymentConfig
    from .error_body import ErrorBody
    from .execute_workflow_config_request import ExecuteWorkflowConfigRequest
    from .execute_workflow_request import ExecuteWorkflowRequest
    from .execution_environment import ExecutionEnvironment
    from .http_validation_error import HttpValidationError
    from .identity import Identity
    from .json_object import JsonObject
    from .list_workflow_environments_response import ListWorkflowEnvironmentsResponse
    from .list_workflow_revisions_response import ListWorkflowRevisionsResponse
    from .list_workflows_response import ListWorkflowsResponse
    from .node_ui import NodeUi
    from .placeholder import Placeholder
    from .placeholder_type import PlaceholderType
    from .position import Position
    from .prompt import Prompt
    from .prompt_role import PromptRole
    from .rename_workflow_revision_request import RenameWorkflowRevisionRequest
    from .revision_lookup import RevisionLookup
    from .run_log import RunLog
    from .run_log_block import RunLogBlock
    from .run_log_blocks import RunLogBlocks
    from .run_log_page_end import RunLogPageEnd
    from .run_log_status import RunLogStatus
    from .select_option_item import SelectOptionItem
    from .stop_reason import StopReason
    from .update_type import UpdateType
    from .update_workflow_environment_request import UpdateWorkflowEnvironmentRequest
    from .update_workflow_environment_response import UpdateWorkflowEnvironmentResponse
    from .user_identity import UserIdentity
    from .validation_error import ValidationError
    from .workflow import Workflow
    from .workflow_actor import WorkflowActor
    from .workflow_config import WorkflowConfig
    from .workflow_environment import WorkflowEnvironment
    from .workflow_note import WorkflowNote
    from .workflow_response import WorkflowResponse
    from .workflow_revision_response import WorkflowRevisionResponse
    from .workflow_run import WorkflowRun
    from .workflow_run_completed import WorkflowRunCompleted
    from .workflow_run_completed_data import WorkflowRunCompletedData
    from .workflow_run_failed import WorkflowRunFailed
    from .workflow_run_failed_data import WorkflowRunFailedData
    from .workflow_run_response import WorkflowRunResponse
    from .workflow_run_started import WorkflowRunStarted
    from .workflow_run_started_data import WorkflowRunStartedData

_MODULES = {
    "ActorType": ".actor_type",
    "ApiKeyIdentity": ".api_key_identity",
    "Block": ".block",
    "BlockConfigItemBoolean": ".block_config_item_boolean",
    "BlockConfigItemJson": ".block_config_item_json",
    "BlockConfigItemNumber": ".block_config_item_number",
    "BlockConfigItemPrompt": ".block_config_item_prompt",
    "BlockConfigItemSelect": ".block_config_item_select",
    "BlockConfigItemTextLong": ".block_config_item_text_long",
    "BlockConfigItemTextShort": ".block_config_item_text_short",
    "BlockRunCompleted": ".block_run_completed",
    "BlockRunCompletedData": ".block_run_completed_data",
    "BlockRunFailed": ".block_run_failed",
    "BlockRunFailedData": ".block_run_failed_data",
    "BlockRunStarted": ".block_run_started",
    "BlockRunStartedData": ".block_run_started_data",
    "BlockStateUpdated": ".block_state_updated",
    "BlockStateUpdatedData": ".block_state_updated_data",
    "DeleteWorkflowResponse": ".delete_workflow_response",
    "DeleteWorkflowRevisionResponse": ".delete_workflow_revision_response",
    "Dependency": ".dependency",
    "Dimensions": ".dimensions",
    "EdgeUi": ".edge_ui",
    "EnvironmentConfig": ".environment_config",
    "EnvironmentDeployment": ".environment_deployment",
    "EnvironmentDeploymentConfig": ".environment_deployment_config",
    "ErrorBody": ".error_body",
    "ExecuteWorkflowConfigRequest": ".execute_workflow_config_request",
    "ExecuteWorkflowRequest": ".execute_workflow_request",
    "ExecutionEnvironment": ".execution_environment",
    "HttpValidationError": ".http_validation_error",
    "Identity": ".identity",
    "JsonObject": ".json_object",
    "ListWorkflowEnvironmentsResponse": ".list_workflow_environments_response",
    "ListWorkflowRevisionsResponse": ".list_workflow_revisions_response",
    "ListWorkflowsResponse": ".list_workflows_response",
    "NodeUi": ".node_ui",
    "Placeholder": ".placeholder",
    "PlaceholderType": ".placeholder_type",
    "Position": ".position",
    "Prompt": ".prompt",
    "PromptRole": ".prompt_role",
    "RenameWorkflowRevisionRequest": ".rename_workflow_revision_request",
    "RevisionLookup": ".revision_lookup",
    "RunLog": ".run_log",
    "RunLogBlock": ".run_log_block",
    "RunLogBlocks": ".run_log_blocks",
    "RunLogPageEnd": ".run_log_page_end",
    "RunLogStatus": ".run_log_status",
    "SelectOptionItem": ".select_option_item",
    "StopReason": ".stop_reason",
    "UpdateType": ".update_type",
    "UpdateWorkflowEnvironmentRequest": ".update_workflow_environment_request",
    "UpdateWorkflowEnvironmentResponse": ".update_workflow_environment_response",
    "UserIdentity": ".user_identity",
    "ValidationError": ".validation_error",
    "Workflow": ".workflow",
    "WorkflowActor": ".workflow_actor",
    "WorkflowConfig": ".workflow_config",
    "WorkflowEnvironment": ".workflow_environment",
    "WorkflowNote": ".workflow_note",
    "WorkflowResponse": ".workflow_response",
    "WorkflowRevisionResponse": ".workflow_revision_response",
    "WorkflowRun": ".workflow_run",
    "WorkflowRunCompleted": ".workflow_run_completed",
    "WorkflowRunCompletedData": ".workflow_run_completed_data",
    "WorkflowRunFailed": ".workflow_run_failed",
    "WorkflowRunFailedData": ".workflow_run_failed_data",
    "WorkflowRunResponse": ".workflow_run_response",
    "WorkflowRunStarted": ".workflow_run_started",
    "WorkflowRunStartedData": ".workflow_run_started_data",
}

__all__ = (
    "ActorType",
    "ApiKeyIdentity",
    "Block",
    "BlockConfigItemBoolean",
    "BlockConfigItemJson",
    "BlockConfigItemNumber",
    "BlockConfigItemPrompt",
    "BlockConfigItemSelect",
    "BlockConfigItemTextLong",
    "BlockConfigItemTextShort",
    "BlockRunCompleted",
    "BlockRunCompletedData",
    "BlockRunFailed",
    "BlockRunFailedData",
    "BlockRunStarted",
    "BlockRunStartedData",
    "BlockStateUpdated",
    "BlockStateUpdatedData",
    "DeleteWorkflowResponse",
    "DeleteWorkflowRevisionResponse",
    "Dependency",
    "Dimensions",
    "EdgeUi",
    "EnvironmentConfig",
    "EnvironmentDeployment",
    "EnvironmentDeploymentConfig",
    "ErrorBody",
    "ExecuteWorkflowConfigRequest",
    "ExecuteWorkflowRequest",
    "ExecutionEnvironment",
    "HttpValidationError",
    "Identity",
    "JsonObject",
    "ListWorkflowEnvironmentsResponse",
    "ListWorkflowRevisionsResponse",
    "ListWorkflowsResponse",
    "NodeUi",
    "Placeholder",
    "PlaceholderType",
    "Position",
    "Prompt",
    "PromptRole",
    "RenameWorkflowRevisionRequest",
    "RevisionLookup",
    "RunLog",
    "RunLogBlock",
    "RunLogBlocks",
    "RunLogPageEnd",
    "RunLogStatus",
    "SelectOptionItem",
    "StopReason",
    "UpdateType",
    "UpdateWorkflowEnvironmentRequest",
    "UpdateWorkflowEnvironmentResponse",
    "UserIdentity",
    "ValidationError",
    "Workflow",
    "WorkflowActor",
    "WorkflowConfig",
    "WorkflowEnvironment",
    "WorkflowNote",
    "WorkflowResponse",
    "WorkflowRevisionResponse",
    "WorkflowRun",
    "WorkflowRunCompleted",
    "WorkflowRunCompletedData",
    "WorkflowRunFailed",
    "WorkflowRunFailedData",
    "WorkflowRunResponse",
    "WorkflowRunStarted",
    "WorkflowRunStartedData",
)


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
